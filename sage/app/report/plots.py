"""The report's plots: their lines, their axes, and one sentence on their meaning.

Invariant: a gap stays a gap (NaN), clipped points are marked and counted in the note, and a source has the
same colour in every plot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sage.app.store.metrics_store import Series

#: The tone of a line that belongs to no source: the text colour.
INK = -1
_MIN_AVERAGED = 3
_NARROWEST_WINDOW = 20
#: An axis ends at _CLIP_FACTOR times this quantile of its values when the largest value exceeds that.
_CLIP_QUANTILE = 0.95
_CLIP_FACTOR = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """values: (N,), one per point.  tone: index of its colour.  is_muted: a reference line, drawn dashed."""

    label: str
    values: np.ndarray
    tone: int
    is_muted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """low, high: the axis where it is fixed, else None.  baseline: the level of a horizontal line, e.g. 0 for
    skill.
    """

    id: str
    section: str
    title: str
    note: str
    lines: tuple[Line, ...]
    unit: str = ""
    low: float | None = None
    high: float | None = None
    is_log: bool = False
    baseline: float | None = None


def plots_of(series: Series, sources: tuple[str, ...], times: np.ndarray) -> tuple[Plot, ...]:
    """All plots of a session, in the order of the page. times: (N,) seconds since its first tick."""
    window = max(_NARROWEST_WINDOW, len(times) // 30)
    span = (
        f"over the trailing {window * float(times[-1]) / max(1, len(times) - 1):.3g} s" if len(times) else ""
    )
    return tuple(map(clipped, _all_plots(series, sources, times, window, span)))


def clipped(plot: Plot) -> Plot:
    """`plot` with its axis ended where a few outliers would flatten everything else, and a note on the points
    beyond an end.
    """
    if plot.is_log:
        return plot
    values = np.concatenate([np.array([]), *(line.values for line in plot.lines if not line.is_muted)])
    values = values[np.isfinite(values)]
    high = plot.high
    if high is None and len(values):
        limit = _CLIP_FACTOR * float(np.quantile(values, _CLIP_QUANTILE))
        high = float(f"{limit:.2g}") if 0 < limit < values.max() else None
    notes = []
    if high is not None and (values > high).any():
        notes.append(f"{(values > high).sum()} above {high:g} (highest {values.max():.3g})")
    if plot.low is not None and (values < plot.low).any():
        notes.append(f"{(values < plot.low).sum()} below {plot.low:g} (lowest {values.min():.3g})")
    mark = f" Clipped points, marked with triangles: {', '.join(notes)}." if notes else ""
    return replace(plot, high=high, note=plot.note + mark)


def _all_plots(
    series: Series, sources: tuple[str, ...], times: np.ndarray, window: int, span: str
) -> tuple[Plot, ...]:
    return (
        _skill(series, sources, window, span),
        _surprise(series, sources, window, span),
        *_attention(series, sources),
        *_coherence(series),
        *_learning(series),
        *_machine(series, times),
    )


def rolling_skill(error: np.ndarray, persistence: np.ndarray, window: int) -> np.ndarray:
    """Skill over the trailing `window` points; NaN until a quarter of it has passed or where nothing was
    scored.
    """
    errors, baselines = _trailing_sum(error, window), _trailing_sum(persistence, window)
    skill = np.full(len(error), np.nan)
    is_defined = (baselines > 0) & (np.arange(1, len(error) + 1) >= window / 4)
    skill[is_defined] = 1 - errors[is_defined] / baselines[is_defined]
    return skill


def rolling_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the finite ones among the trailing `window` points, whether or not the last is one; NaN where
    they are too few.
    """
    nums = _trailing_sum(np.isfinite(values).astype(float), window)
    mean = np.full(len(values), np.nan)
    is_defined = nums >= _MIN_AVERAGED
    mean[is_defined] = _trailing_sum(values, window)[is_defined] / nums[is_defined]
    return mean


def _trailing_sum(values: np.ndarray, window: int) -> np.ndarray:
    finite = np.where(np.isfinite(values), values, 0.0)
    return np.array([finite[max(0, end - window) : end].sum() for end in range(1, len(values) + 1)])


def _line(series: Series, label: str, name: str, tone: int = INK, scale: float = 1.0) -> Line:
    return Line(label=label, values=series.values[name] * scale, tone=tone)


def _of_sources(series: Series, sources: tuple[str, ...], column: str) -> tuple[Line, ...]:
    return tuple(_line(series, source, f"{source}.{column}", tone) for tone, source in enumerate(sources))


def _skill(series: Series, sources: tuple[str, ...], window: int, span: str) -> Plot:
    errors, baselines = (
        _of_sources(series, sources, "error"),
        _of_sources(series, sources, "persistence_error"),
    )
    lines = tuple(
        Line(label=error.label, values=rolling_skill(error.values, baseline.values, window), tone=error.tone)
        for error, baseline in zip(errors, baselines)
    )
    lowest = min(
        (float(np.nanmin(line.values)) for line in lines if np.isfinite(line.values).any()), default=0.0
    )
    low = max(-1.0, min(-0.1, 1.1 * lowest))
    note = f"1 - error / error of repeating the last reading, {span}. 1 is perfect, 0 equals repeating."
    return Plot(
        id="skill",
        section="Prediction",
        title="Prediction skill",
        note=note,
        lines=lines,
        baseline=0.0,
        low=low,
        high=1.0,
    )


def _surprise(series: Series, sources: tuple[str, ...], window: int, span: str) -> Plot:
    """Linear from 0; logarithmic when the largest value is above 25 medians."""
    lines = tuple(
        Line(label=line.label, values=rolling_mean(line.values, window), tone=line.tone)
        for line in _of_sources(series, sources, "surprise")
    )
    every = np.concatenate([np.array([]), *(line.values for line in lines)])
    found = every[np.isfinite(every) & (every > 0)]
    is_log = len(found) > 0 and bool(found.max() > 25 * np.median(found))
    note = f"Squared error divided by its expected variance, mean over channels, {span}. 1 is as expected."
    note += " Logarithmic axis." if is_log else ""
    return Plot(
        id="surprise",
        section="Prediction",
        title="Surprise",
        note=note,
        lines=lines,
        baseline=1.0,
        is_log=is_log,
        low=None if is_log else 0.0,
    )


def _attention(series: Series, sources: tuple[str, ...]) -> tuple[Plot, ...]:
    return (
        Plot(
            id="trust",
            section="Attention",
            title="Trust",
            lines=_of_sources(series, sources, "trust"),
            low=0.0,
            high=1.0,
            note="Estimated reliability of each source: 1 is full trust, 0 is none.",
        ),
        Plot(
            id="weight",
            section="Attention",
            title="Attention weight",
            lines=_of_sources(series, sources, "weight"),
            low=0.0,
            high=1.0,
            note="Share of each source in the fused observation.",
        ),
    )


def _coherence(series: Series) -> tuple[Plot, ...]:
    parts = (
        _line(series, "coherence", "coherence"),
        _line(series, "agreement", "agreement", 5),
        _line(series, "correctness", "correctness", 6),
        Line(label="agreement by chance", values=series.values["agreement_null"], tone=5, is_muted=True),
    )
    return (
        Plot(
            id="coherence",
            section="Coherence",
            title="Coherence",
            lines=parts,
            low=_lowest(parts),
            high=1.0,
            note=(
                "Square root of agreement times correctness, and both parts, from 0 to 1. The dashed line is"
                " the agreement expected by chance."
            ),
        ),
        Plot(
            id="xerr",
            section="Coherence",
            title="Error across sources",
            lines=(_line(series, "error across sources", "xerr"),),
            low=0.0,
            baseline=1.0,
            note="Squared error of predicting each source from the others, over its expected variance. 1 is"
            " as expected.",
        ),
    )


def _lowest(lines: Sequence[Line]) -> float:
    """0, or below where agreement is below 0: to one tenth."""
    values = np.concatenate([np.zeros(1), *(line.values for line in lines)])
    return float(np.floor(10 * values[np.isfinite(values)].min()) / 10)


def _learning(series: Series) -> tuple[Plot, ...]:
    memory = (
        _line(series, "stored experiences", "num_kept"),
        _line(series, "recent transitions", "num_transitions", 7),
    )
    return (
        Plot(
            id="memory",
            section="Learning",
            title="Memory",
            lines=memory,
            low=0.0,
            note="Experiences stored for sleep, and recent transitions stored for practice.",
        ),
        Plot(
            id="gate",
            section="Learning",
            title="Gate",
            lines=(_line(series, "gate", "gate"),),
            low=0.0,
            high=1.0,
            note="Share of the recurrent correction that is added to the prediction, mean over channels.",
        ),
    )


def _machine(series: Series, times: np.ndarray) -> tuple[Plot, ...]:
    interval = np.diff(times, prepend=times[:1])
    rate = np.divide(series.num_ticks, interval, out=np.full(len(times), np.nan), where=interval > 0)
    lines = (
        _line(series, "whole tick", "total_ns", scale=1e-6),
        _line(series, "model alone", "model_ns", 7, 1e-6),
    )
    return (
        Plot(
            id="tick",
            section="Machine",
            title="Tick time",
            unit="ms",
            lines=lines,
            low=0.0,
            note="The difference between the lines is the overhead of the loop.",
        ),
        Plot(
            id="rate",
            section="Machine",
            title="Tick rate",
            unit="Hz",
            low=0.0,
            lines=(Line(label="ticks per second", values=rate, tone=INK),),
            note="Ticks per second of the session's clock.",
        ),
    )
