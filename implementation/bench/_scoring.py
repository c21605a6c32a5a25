"""From scored readings to skill with its interval: squared errors in training variance, and a block
bootstrap.

Invariant: every method is scored on the same readings, with the same scale; skill = 1 - MSE / MSE of
persistence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from _baselines import autoregression, guarded_autoregression, last_delta

MIN_SCORED = 200
MIN_CHANGING = 0.05
BLOCK_SECS = 2.0
NUM_RESAMPLES = 1000
INTERVAL = (0.025, 0.975)
NUM_SHUFFLES = 20
#: The source that the loop makes of its own memory.
RECALL = "recall"
METHODS = ("ours", "skip", "ar8_guarded", "ar8", "last_delta", "shuffled")


class Scored(Protocol):
    """What the runtime tells of one reading met by its prediction
    (sage.runtime.prediction.predictor.PredictionScored).
    """

    source: str
    captured_ns: int
    horizon_ns: int
    actual: np.ndarray
    last: np.ndarray
    predicted: np.ndarray
    skip: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One source's scored readings in order. time_secs, horizon_secs (T,); the rest (T, d) in raw units,
    scale (d,).
    """

    source: str
    time_secs: np.ndarray
    horizon_secs: np.ndarray
    actual: np.ndarray
    last: np.ndarray
    ours: np.ndarray
    skip: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceScore:
    """skill: point by method.  low, high: of `ours`.  gain: what the model adds to its own skip, with its
    interval.

    is_barred: enough was scored and enough of it changed for a skill to mean something.
    """

    source: str
    num_scored: int
    changing: float
    horizon_secs: float
    skill: dict[str, float]
    low: float
    high: float
    skip_low: float
    gain: float
    gain_low: float
    gain_high: float

    @property
    def is_barred(self) -> bool:
        return self.num_scored >= MIN_SCORED and self.changing >= MIN_CHANGING


def streams(events: Sequence[Scored]) -> list[Stream]:
    """Events in order of arrival, by source. The scale is the newest event's: of all that the run saw of each
    channel.
    """
    by_source: dict[str, list[Scored]] = {}
    for event in events:
        by_source.setdefault(event.source, []).append(event)
    return [_stream(source, report) for source, report in by_source.items()]


def sensor_streams(events: Sequence[Scored]) -> list[Stream]:
    """Without recall, whose values differ between runs that learn differently, or that have no memory."""
    return [stream for stream in streams(events) if stream.source != RECALL]


def _stream(source: str, report: Sequence[Scored]) -> Stream:
    return Stream(
        source=source,
        time_secs=np.array([event.captured_ns for event in report]) * 1e-9,
        horizon_secs=np.array([event.horizon_ns for event in report]) * 1e-9,
        actual=np.stack([event.actual for event in report]).astype(np.float64),
        last=np.stack([event.last for event in report]).astype(np.float64),
        ours=np.stack([event.predicted for event in report]).astype(np.float64),
        skip=np.stack([event.skip for event in report]).astype(np.float64),
        scale=np.asarray(report[-1].scale, dtype=np.float64),
    )


def score(stream: Stream, generator: np.random.Generator) -> SourceScore:
    """Skill of every method on one source. Channels that never moved are left out: nothing can be said of
    them.
    """
    change = stream.actual - stream.last
    moved = (change != 0).any(axis=0) & (stream.scale > 0)
    persistence = _errors(stream.last, stream, moved)
    forecasts = {
        "ours": stream.ours,
        "skip": stream.skip,
        "ar8_guarded": guarded_autoregression(stream.actual, stream.last),
        "ar8": autoregression(stream.actual, stream.last, scale=stream.scale),
        "last_delta": last_delta(stream.actual, stream.last),
    }
    errors = {name: _errors(forecast, stream, moved) for name, forecast in forecasts.items()}
    errors["shuffled"] = _shuffled_errors(stream, moved, generator)
    samples = block_samples(stream.time_secs, generator)
    low, high = interval(errors["ours"], persistence, samples)
    gain_low, gain_high = interval(errors["ours"], errors["skip"], samples)
    return SourceScore(
        source=stream.source,
        num_scored=len(change),
        changing=float((change != 0).mean()),
        horizon_secs=float(np.median(stream.horizon_secs)),
        skill={name: skill(errors[name], persistence) for name in METHODS},
        low=low,
        high=high,
        skip_low=interval(errors["skip"], persistence, samples)[0],
        gain=skill(errors["ours"], errors["skip"]),
        gain_low=gain_low,
        gain_high=gain_high,
    )


def skill(errors: np.ndarray, reference: np.ndarray) -> float:
    """1 - MSE / MSE of the reference over (T,) squared errors; NaN where the reference is never wrong."""
    total = float(reference.sum())
    return 1.0 - float(errors.sum()) / total if total > 0 else float("nan")


def block_samples(
    time_secs: np.ndarray, generator: np.random.Generator, *, block_secs: float = BLOCK_SECS
) -> np.ndarray:
    """(R, T') rows drawn in whole blocks of about `block_secs`, wrapping at the end, so that each row is as
    likely.
    """
    num_rows = len(time_secs)
    period = float(np.median(np.diff(time_secs))) if num_rows > 1 else block_secs
    length = int(np.clip(round(block_secs / max(period, 1e-9)), 1, max(num_rows // 4, 1)))
    starts = generator.integers(0, num_rows, (NUM_RESAMPLES, -(-num_rows // length)))
    return ((starts[:, :, None] + np.arange(length)) % num_rows).reshape(NUM_RESAMPLES, -1)


def interval(errors: np.ndarray, reference: np.ndarray, samples: np.ndarray) -> tuple[float, float]:
    """95% percentile interval of the skill over resampled rows."""
    totals = reference[samples].sum(axis=1)
    usable = totals > 0
    if not usable.any():
        return float("nan"), float("nan")
    skills = 1.0 - errors[samples].sum(axis=1)[usable] / totals[usable]
    low, high = np.quantile(skills, INTERVAL)
    return float(low), float(high)


def overall(scores: Sequence[SourceScore], method: str) -> float:
    """1 - geometric mean over sources of MSE / MSE of persistence: one source that goes wild does not decide
    it.
    """
    ratios = np.array([1.0 - each.skill[method] for each in scores])
    return float(1.0 - np.exp(np.log(np.maximum(ratios, 1e-12)).mean())) if len(ratios) else float("nan")


def _errors(forecast: np.ndarray, stream: Stream, moved: np.ndarray) -> np.ndarray:
    """(T,) squared error in training variance, mean over the channels that move."""
    if not moved.any():
        return np.zeros(len(forecast))
    return np.mean(((forecast - stream.actual)[:, moved] / stream.scale[moved]) ** 2, axis=1)


def _shuffled_errors(stream: Stream, moved: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The control: each reading met by the change predicted from another moment's inputs, mean over
    shuffles.
    """
    change = stream.ours - stream.last
    drawn = [_errors(stream.last + generator.permutation(change), stream, moved) for _ in range(NUM_SHUFFLES)]
    return np.mean(drawn, axis=0)
