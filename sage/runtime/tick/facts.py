"""From the tick's arrays to its facts: numpy becomes host scalars here only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sage.runtime.lazy import LazyTuple
from sage.runtime.prediction.predictor import Scores
from sage.runtime.report import SourceFacts
from sage.runtime.scheduling.skips import skip_words
from sage.sensors.driver.sensor_driver import SourceState


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceArrays:
    """One tick's arrays of the sources, (N,) each, which nothing changes later. skips: as in Scene."""

    age_ns: np.ndarray
    fresh: np.ndarray
    attended: np.ndarray
    trust: np.ndarray
    judged: np.ndarray
    weight: np.ndarray
    quality: np.ndarray
    surprise: np.ndarray
    novelty: np.ndarray
    salience: np.ndarray
    is_stuck: np.ndarray
    num_invalid: np.ndarray
    scores: Scores
    skips: np.ndarray


def source_facts(
    names: Sequence[str], states: Sequence[SourceState], arrays: SourceArrays
) -> LazyTuple[SourceFacts]:
    """One SourceFacts a source, in order, made when they are read."""
    return LazyTuple(partial(_source_facts, names, states, arrays))


def _source_facts(
    names: Sequence[str], states: Sequence[SourceState], arrays: SourceArrays
) -> tuple[SourceFacts, ...]:
    columns = zip(
        names,
        states,
        arrays.age_ns.tolist(),
        arrays.fresh.tolist(),
        arrays.attended.tolist(),
        arrays.trust.tolist(),
        arrays.judged.tolist(),
        arrays.weight.tolist(),
        arrays.quality.tolist(),
        arrays.surprise.tolist(),
        arrays.novelty.tolist(),
        arrays.salience.tolist(),
        arrays.is_stuck.tolist(),
        arrays.num_invalid.tolist(),
        arrays.scores.error.tolist(),
        arrays.scores.persistence_error.tolist(),
        arrays.scores.skip_error.tolist(),
        skip_words(arrays.skips.tolist(), [state.status for state in states]),
    )
    return tuple(
        SourceFacts(
            name=name,
            status=counts.status,
            sequence=counts.sequence,
            age_ns=age,
            is_fresh=fresh,
            is_attended=attended,
            trust=trust,
            is_judged=is_judged,
            weight=weight,
            quality=quality,
            surprise=surprise,
            novelty=novelty,
            salience=salience,
            error=error,
            persistence_error=persistence,
            skip_error=skip,
            num_dropped=counts.num_dropped,
            num_late=counts.num_late,
            num_duplicate=counts.num_duplicate,
            num_faults=counts.num_faults + invalid,
            reason=counts.last_error if counts.status == "quarantined" else ("stuck" if stuck else ""),
            skipped=skipped,
        )
        for (
            name,
            counts,
            age,
            fresh,
            attended,
            trust,
            is_judged,
            weight,
            quality,
            surprise,
            novelty,
            salience,
            stuck,
            invalid,
            error,
            persistence,
            skip,
            skipped,
        ) in columns
    )


def without_nan(values: np.ndarray) -> np.ndarray:
    """The values with 0 for NaN; infinity stays."""
    return np.where(values == values, values, values.dtype.type(0))  # NaN is not equal to itself


def mean_of(values: np.ndarray, of_none: float = math.nan) -> float:
    """The mean of the values (n,); `of_none` without a value."""
    return float(np.add.reduce(values) / len(values)) if len(values) else of_none


def total(values: np.ndarray) -> float:
    """The sum of the values that are not NaN."""
    return float(np.add.reduce(without_nan(values)))
