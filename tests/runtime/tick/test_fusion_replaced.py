"""Fusing readings beyond belief: what is predicted, scored and doubted while they are replaced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.channels.layout import Layout
from sage.runtime.config import TrustConfig
from sage.runtime.prediction import substitute_rules as rules
from sage.runtime.prediction.predictor import PredictionScored
from sage.runtime.tick.fusion import Fused, Fusion, Scene
from sage.runtime.tick.senses import Gathered
from sage.runtime.trust.estimator import TrustEstimator
from sage.sensors.contract import SensorSpec

NUM, FAULT_AT, PERIOD_NS = 640, 400, 20_000_000
NAMES = ("victim", "second", "third")


@dataclass(frozen=True)
class Held:
    """A reading in the place of a mailbox's lease."""

    array: np.ndarray

    def release(self) -> None:
        """Nothing is held."""


def layout(*names: str, observes: str = "test") -> Layout:
    return Layout.of(
        [
            SensorSpec(
                name=name,
                modality="physical",
                tensor=TensorSpec(shape=(2,)),
                period_ns=PERIOD_NS,
                observes=(observes, "1"),
                is_bounded=True,
            )
            for name in names
        ]
    )


def readings() -> np.ndarray:
    """(NUM, 6) levels that return to their mean, of deviation 1; the sources share none of it."""
    values = np.random.default_rng(0).normal(0, 0.6, (NUM, 6))
    for row in range(1, NUM):
        values[row] += 0.8 * values[row - 1]
    return values


class Run:
    """fused, trust (T, 3), events of the victim: of a fusion over the readings `values`."""

    def __init__(self, values: np.ndarray, *, replaces: bool = True) -> None:
        events: list[PredictionScored] = []
        self.fusion = Fusion(layout(*NAMES), events.append, TrustConfig(replaces=replaces))
        estimator = TrustEstimator(3, TrustConfig())
        ones, every = np.ones(3), np.ones(3, dtype=bool)
        self.fused: list[Fused] = []
        self.trust = np.zeros((len(values), 3))
        for tick, row in enumerate(values, start=1):
            gathered = Gathered(
                fresh=every.copy(),
                captured_ns=np.full(3, tick * PERIOD_NS, dtype=np.int64),
                quality=ones,
                confidence=ones,
                states=[],
                leases={source: Held(row[2 * source : 2 * source + 2]) for source in range(3)},
            )
            scene = Scene(
                age_ns=np.zeros(3),
                usable=every,
                trust=estimator.trust,
                chosen=every,
                weight=ones / 3,
                skips=np.zeros(3),
            )
            self.fused.append(self.fusion.fuse(tick, gathered, scene, estimator.noise))
            estimator.update(self.fusion.evidence(self.fused[-1], self.fused[-1].estimate))
            self.trust[tick - 1] = estimator.trust
        self.events = [event for event in events if event.source == "victim"]

    def error(self, true: np.ndarray) -> float:
        """Mean squared error over the victim's true values in the fault's first 100 readings but one."""
        rows = range(FAULT_AT, FAULT_AT + 100)  # an event a reading but the first
        return float(np.mean([(self.events[row].predicted - true[row + 1, :2]) ** 2 for row in rows]))


def spoil(values: np.ndarray, fault: str) -> np.ndarray:
    spoiled = values.copy()
    if fault == "bias":
        spoiled[FAULT_AT:, :2] += 8.0
    else:
        spoiled[FAULT_AT:, :2] = [2.5, -2.5]
    return spoiled


@pytest.mark.parametrize("fault", ["bias", "stuck"])
def test_the_signal_beneath_a_fault_is_predicted_and_the_reading_is_scored(fault: str) -> None:
    true = readings()
    spoiled = spoil(true, fault)
    healthy, faulty, plain = Run(true), Run(spoiled), Run(spoiled, replaces=False)
    bound = 2.5 * healthy.error(true) if fault == "bias" else 1.2 * true[:FAULT_AT, :2].var()
    assert faulty.error(true) < bound
    assert faulty.error(true) < 0.5 * plain.error(true)
    late = faulty.events[FAULT_AT + 20]  # an event a reading but the first
    assert np.array_equal(late.actual, spoiled[FAULT_AT + 21, :2])
    assert np.array_equal(late.last, spoiled[FAULT_AT + 20, :2])
    shown = faulty.fused[FAULT_AT + 21]
    error = np.mean((late.actual - late.predicted) ** 2 / late.scale**2)
    assert shown.scores.error[0] == pytest.approx(error, rel=0.05)
    assert shown.scores.is_repeat[0] == (fault == "stuck")
    assert np.array_equal(shown.readings[2:], shown.percept.values[2:])
    assert abs(shown.readings[0] - shown.percept.values[0]) > 1.0
    assert shown.percept.fresh.tolist() == [fault == "bias", True, True]


def test_a_source_beyond_belief_is_distrusted_and_trusted_again_after_a_bounded_time() -> None:
    trust = Run(spoil(readings(), "bias")).trust
    assert (trust[FAULT_AT : FAULT_AT + rules.MAX_STEP, 0] < 0.2).all()
    assert (trust[FAULT_AT + rules.MAX_STEP + 40 :, 0] > 0.7).all()
    assert np.abs(trust[:, 1:] - Run(readings()).trust[:, 1:]).max() < 0.05


def test_without_a_fault_nothing_changes() -> None:
    pair = [Run(readings(), replaces=replaces) for replaces in (True, False)]
    for a, b in zip(pair[0].events, pair[1].events, strict=True):
        assert np.array_equal(a.predicted, b.predicted)
    assert np.array_equal(pair[0].trust, pair[1].trust)


def test_equal_readings_give_equal_predictions() -> None:
    pair = [Run(spoil(readings(), "bias")) for _ in range(2)]
    for a, b in zip(pair[0].events, pair[1].events, strict=True):
        assert np.array_equal(a.predicted, b.predicted)


def test_sources_of_a_world_that_starts_again_are_not_replaced() -> None:
    names = ("arm.joint", "arm.reset", "room")
    specs = [*layout(*names[::2]).specs, *layout(names[1], observes="reset").specs]
    found = Layout.of(specs)
    assert dict(zip([spec.name for spec in specs], found.is_replaceable)) == {
        "arm.joint": False,
        "arm.reset": False,
        "room": True,
    }
