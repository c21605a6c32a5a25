"""One implausible reading: it is scored and leaves no trace; a change that lasts is learned from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.channels.layout import Layout
from sage.runtime.config import TrustConfig
from sage.runtime.prediction.far import FAR, LASTING
from sage.runtime.tick.fusion import Fused, Fusion, Scene
from sage.runtime.tick.senses import Gathered
from sage.sensors.contract import SensorSpec

NUM, AT, PERIOD_NS = 320, 200, 20_000_000


@dataclasses.dataclass(frozen=True)
class Held:
    """A reading in the place of a mailbox's lease."""

    array: np.ndarray

    def release(self) -> None:
        """Nothing is held."""


def source(name: str, observes: str) -> SensorSpec:
    return SensorSpec(
        name=name,
        modality="physical",
        tensor=TensorSpec(shape=(1,), dtype="float64"),
        period_ns=PERIOD_NS,
        observes=(observes, "1"),
        is_bounded=True,
    )


class Run:
    """fused: of a fusion over `values` (T, 2), of two sources: too few for a substitute."""

    def __init__(self, values: np.ndarray, observes: str = "test") -> None:
        layout = Layout.of([source("first", observes), source("second", "test")])
        self.fusion = Fusion(layout, trust=TrustConfig(replaces=False))
        ones, every = np.ones(2), np.ones(2, dtype=bool)
        self.fused: list[Fused] = []
        for tick, row in enumerate(values, start=1):
            gathered = Gathered(
                fresh=every.copy(),
                captured_ns=np.full(2, tick * PERIOD_NS, dtype=np.int64),
                quality=ones,
                confidence=ones,
                states=[],
                leases={index: Held(row[index : index + 1]) for index in range(2)},
            )
            scene = Scene(
                age_ns=np.zeros(2),
                usable=every,
                trust=ones,
                chosen=every,
                weight=ones / 2,
                skips=np.zeros(2),
            )
            self.fused.append(self.fusion.fuse(tick, gathered, scene, ones))

    @property
    def std(self) -> float:
        return float(self.fusion.predictor.scale.std[0])


def readings() -> np.ndarray:
    """(NUM, 2) of deviation 1, each in part predictable from the one before."""
    values = np.random.default_rng(0).normal(0.0, 0.6, (NUM, 2))
    for row in range(1, NUM):
        values[row] += 0.8 * values[row - 1]
    return values


def spoilt(value: float, num: int = 1) -> np.ndarray:
    values = readings()
    values[AT : AT + num, 0] = value
    return values


@pytest.mark.parametrize("value", [1e5, -1e30, 1e300])
def test_one_implausible_reading_leaves_no_trace(value: float) -> None:
    run, healthy = Run(spoilt(value)), Run(readings())
    assert run.std == pytest.approx(healthy.std, rel=0.01)
    assert run.fused[-1].percept.values == pytest.approx(healthy.fused[-1].percept.values, rel=0.05)
    state = run.fusion.predictor.state()
    assert all(np.abs(state[name]).max() < 1e4 for name in ("scale.square", "wide.residual_square", "high"))
    assert np.isfinite(run.fusion.predictor.prediction).all()


def test_it_is_scored_and_shown_to_trust() -> None:
    fused = Run(spoilt(1e5)).fused[AT]
    assert fused.met[0]
    assert not fused.percept.fresh[0]
    assert fused.scores.error[0] > FAR
    assert fused.readings[0] == 10.0
    assert abs(fused.percept.values[0]) < 5.0


def test_beyond_any_unit_it_is_as_one_that_is_not_finite() -> None:
    run = Run(spoilt(1e300))
    assert run.fusion.num_invalid.tolist() == [1, 0]
    assert not run.fused[AT].met[0]


def test_a_change_that_lasts_is_learned_from_the_third_reading() -> None:
    run = Run(spoilt(1e5, num=NUM - AT))
    assert [bool(run.fused[row].percept.fresh[0]) for row in range(AT, AT + 4)] == [False, False, True, True]
    assert run.fusion.predictor.last[0] == 1e5
    assert run.std > 1e4
    assert LASTING == 3


def test_a_reward_is_rare_and_taken_as_it_is() -> None:
    run = Run(spoilt(1e5), observes="reward")
    assert run.fused[AT].percept.fresh[0]
    assert run.fusion.predictor.scale.mean[0] > 100.0


def test_usual_readings_are_all_learned_from() -> None:
    assert all(fused.percept.fresh.all() for fused in Run(readings()).fused)
