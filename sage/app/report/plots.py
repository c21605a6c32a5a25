"""The report's plots: which lines, on which axis, and one sentence on what they mean.

Invariant: a gap stays a gap (NaN), an axis that cuts something says so, and a source has one colour
throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.app.store.metrics_store import Series

#: The tone of what is about no source: the page's ink.
INK = -1
_MIN_AVERAGED = 3
_NARROWEST_WINDOW = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """values: (N,), one a point.  tone: the index of its colour.  is_muted: a reference, drawn dashed."""

    label: str
    values: np.ndarray
    tone: int
    is_muted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """low, high: the axis where it is fixed, else None.  baseline: a level worth a line, e.g. 0 for skill."""

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
    is_told = (baselines > 0) & (np.arange(1, len(error) + 1) >= window / 4)
    skill[is_told] = 1 - errors[is_told] / baselines[is_told]
    return skill


def rolling_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the finite ones among the trailing `window` points, whether or not the last is one; NaN where
    they are too few.
    """
    nums = _trailing_sum(np.isfinite(values).astype(float), window)
    mean = np.full(len(values), np.nan)
    is_told = nums >= _MIN_AVERAGED
    mean[is_told] = _trailing_sum(values, window)[is_told] / nums[is_told]
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
    note = f"1 - error / error of “nothing changes”, {span}. Above 0 is better than that; 1 is perfect."
    note += " The axis ends at -1." if low == -1.0 else ""
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
    """Linear from 0 while the largest is of the size of the usual; logarithmic when outliers would flatten
    the rest.
    """
    lines = tuple(
        Line(label=line.label, values=rolling_mean(line.values, window), tone=line.tone)
        for line in _of_sources(series, sources, "surprise")
    )
    every = np.concatenate([np.array([]), *(line.values for line in lines)])
    found = every[np.isfinite(every) & (every > 0)]
    is_log = len(found) > 0 and bool(found.max() > 25 * np.median(found))
    note = (
        f"Squared error over expected variance, per channel, {span}. About 1 when a source behaves as usual."
    )
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
            note="What a source has earned by being right.",
        ),
        Plot(
            id="weight",
            section="Attention",
            title="Attention weight",
            lines=_of_sources(series, sources, "weight"),
            low=0.0,
            high=1.0,
            note="A source's share in the fused picture.",
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
            low=0.0,
            high=1.0,
            note=(
                "The square root of agreement times correctness, and its parts. Agreement counts above the"
                " dashed line: chance."
            ),
        ),
        Plot(
            id="xerr",
            section="Coherence",
            title="Error across sources",
            lines=(_line(series, "xerr", "xerr"),),
            low=0.0,
            note="How far each source lies from what the others alone predict of it. Lower is more coherent.",
        ),
    )


def _learning(series: Series) -> tuple[Plot, ...]:
    memory = (_line(series, "kept", "num_kept"), _line(series, "recent transitions", "num_transitions", 7))
    return (
        Plot(
            id="memory",
            section="Learning",
            title="Memory",
            lines=memory,
            low=0.0,
            note="Experiences kept for sleep, and transitions at hand for practice.",
        ),
        Plot(
            id="loss",
            section="Learning",
            title="Practice loss",
            lines=(_line(series, "loss", "loss"),),
            low=0.0,
            note="Of the last practice step, while awake.",
        ),
        Plot(
            id="gate",
            section="Learning",
            title="Gate",
            lines=(_line(series, "gate", "gate"),),
            low=0.0,
            high=1.0,
            note="How much of the recurrent model's correction reaches the prediction.",
        ),
    )


def _machine(series: Series, times: np.ndarray) -> tuple[Plot, ...]:
    interval = np.diff(times, prepend=times[:1])
    rate = np.divide(series.num_ticks, interval, out=np.full(len(times), np.nan), where=interval > 0)
    lines = (
        _line(series, "whole tick", "total_ns", scale=1e-6),
        _line(series, "the model alone", "model_ns", 7, 1e-6),
    )
    return (
        Plot(
            id="tick",
            section="Machine",
            title="Tick time",
            unit="ms",
            lines=lines,
            low=0.0,
            note="What lies between the lines is overhead.",
        ),
        Plot(
            id="rate",
            section="Machine",
            title="Tick rate",
            unit="Hz",
            low=0.0,
            lines=(Line(label="ticks a second", values=rate, tone=INK),),
            note="On the run's own clock.",
        ),
    )
