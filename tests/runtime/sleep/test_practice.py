"""Practice in slices: what fits before the deadline is done, the rest waits; a bad step changes nothing."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from sage.mailbox.clock import ManualClock
from sage.memory.windows.window import Window
from sage.runtime.config import PracticeConfig
from sage.runtime.sleep.practice import PATIENCE, Cost, Practice

MILLISECOND = 1_000_000
BURN_IN, NUM_SEGMENTS = 2, 2


class CostlyClock(ManualClock):
    """Every look at it costs `cost_ns`: a slice, between two looks, has cost that much."""

    cost_ns = 0

    def now_ns(self) -> int:
        self.advance(self.cost_ns)
        return super().now_ns()


class Ring:
    """Hands out the same stretches; `batches` are the sizes that were asked for."""

    def __init__(self, window: Window) -> None:
        self.window, self.batches = window, []

    def sample(self, num: int, length: int, generator: torch.Generator) -> Window | None:
        self.batches.append(num)
        return self.window[:num]


@pytest.fixture
def clock() -> CostlyClock:
    return CostlyClock()


@pytest.fixture
def ring(stretches) -> Ring:
    return Ring(stretches(4))


@pytest.fixture
def practice(model, ring: Ring, clock: CostlyClock) -> Practice:
    config = PracticeConfig(
        every_ticks=4, batch_size=4, window_ticks=8, burn_in_ticks=BURN_IN, learning_rate=1e-2
    )
    return Practice(model, ring, config, num_segments=NUM_SEGMENTS, seed=0, clock=clock)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(model.state_dict())


def changed(model: torch.nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}


def test_with_time_enough_a_due_tick_is_one_step(practice: Practice, model):
    before = weights(model)
    practice.work(3, 1 << 60, 1)
    assert practice.num_steps == 0
    practice.work(4, 1 << 60, 1)
    assert practice.num_steps == 1
    assert math.isfinite(practice.loss)
    moved = changed(model, before)
    assert moved
    assert not any(name.startswith("H_level.") for name in moved), "strategy is left to sleep"
    assert any(name.startswith("L_level.") for name in moved)


def test_ticks_of_several_usual_ones_pass_no_due_tick(practice: Practice):
    for tick in (3, 6, 9, 12):  # each of three ticks; 4, 8 and 12 are due
        practice.work(tick, 1 << 60, 1, num_ticks=3)
    assert practice.num_steps == 3


def test_steps_on_one_lesson_lower_its_loss(practice: Practice):
    practice.work(4, 1 << 60, 1)
    first = practice.loss
    for _ in range(30):
        practice.work(4, 1 << 60, 1)
    assert practice.loss < 0.9 * first


def test_a_lesson_continues_over_ticks_in_slices_that_fit(practice: Practice, clock: CostlyClock):
    """A slice costs 1 ms and a tick leaves 3.5: the lesson is one step after several ticks, also ones that
    are not due.
    """
    clock.cost_ns = MILLISECOND
    num_ticks = 0
    while practice.num_steps == 0:
        practice.work(4 + num_ticks, clock._now_ns + 3 * MILLISECOND + MILLISECOND // 2, 1)
        num_ticks += 1
        assert num_ticks < 100
    assert num_ticks > 3


def test_a_slice_that_does_not_fit_does_not_start(
    practice: Practice, clock: CostlyClock, monkeypatch: pytest.MonkeyPatch
):
    clock.cost_ns = MILLISECOND
    for _ in range(8):
        practice._unroll_cost.note(MILLISECOND)
    practice.work(4, clock._now_ns + 2 * MILLISECOND, 1)
    lesson = practice._lesson
    assert lesson is not None
    advanced = []
    monkeypatch.setattr(type(lesson), "advance", lambda self: advanced.append(self))
    started_ns = clock._now_ns
    practice.work(5, started_ns + MILLISECOND + MILLISECOND // 2, 1)  # 0.5 ms is left once it has looked
    assert not advanced
    assert practice._lesson is lesson


def test_old_costs_are_dropped(practice: Practice, clock: CostlyClock):
    """One slow slice, then never a gap so long: after a few deferrals it is tried and measured again."""
    clock.cost_ns = 50 * MILLISECOND
    practice.work(4, clock._now_ns + 60 * MILLISECOND, 1)
    clock.cost_ns = MILLISECOND
    for tick in range(5, 60):
        practice.work(tick, clock._now_ns + 10 * MILLISECOND, 1)
    assert practice.num_steps > 0


def test_a_step_that_never_fits_gets_a_smaller_batch(practice: Practice, ring: Ring, clock: CostlyClock):
    practice.work(4, 1 << 60, 1)
    assert ring.batches[-1] == 4
    for _ in range(3 * PATIENCE):
        practice._finish_cost.note(100 * MILLISECOND)
    practice._finish_cost.num_deferred = 0
    for tick in range(8, 8 + 4 * PATIENCE + 4, 4):
        practice.work(tick, clock.now_ns() + 10 * MILLISECOND, 1)
    assert ring.batches[-1] == 2
    assert practice.num_steps >= 1


def test_a_loss_that_is_not_finite_changes_nothing(practice: Practice, model, ring: Ring):
    practice.work(4, 1 << 60, 1)
    before, loss = weights(model), practice.loss
    moments = copy.deepcopy(practice._optimizer.state_dict()["state"])
    ring.window = ring.window.replace(values=ring.window.values * torch.nan)
    practice.work(8, 1 << 60, 1)
    assert practice.num_rejected == 1
    assert (practice.num_steps, practice.loss) == (1, loss)
    assert not changed(model, before)
    after = practice._optimizer.state_dict()["state"]
    assert all(torch.equal(moments[key]["exp_avg"], after[key]["exp_avg"]) for key in moments)


def test_no_more_steps_than_the_budget(practice: Practice):
    practice.work(4, 1 << 60, 3)
    assert practice.num_steps == 3
    practice.work(8, 1 << 60, 0)
    assert practice.num_steps == 3


def test_switched_off_it_does_nothing(model, ring: Ring, clock: CostlyClock):
    practice = Practice(model, ring, PracticeConfig(enabled=False), num_segments=1, seed=0, clock=clock)
    practice.work(4, 1 << 60, 1)
    assert not ring.batches


def test_without_a_window_practice_waits(practice: Practice, ring: Ring, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ring, "sample", lambda *_: None)
    practice.work(4, 1 << 60, 1)
    assert practice.num_steps == 0


def test_new_weights_drop_the_current_lesson(practice: Practice, clock: CostlyClock):
    clock.cost_ns = MILLISECOND
    practice.work(4, clock._now_ns + 2 * MILLISECOND, 1)
    assert practice._lesson is not None
    practice.restart()
    assert practice._lesson is None
    assert not practice._optimizer.state_dict()["state"]


def test_moments_continue_in_another_run(practice: Practice, model, ring: Ring, clock: CostlyClock):
    practice.work(4, 1 << 60, 2)
    state = {name: array.copy() for name, array in practice.state().items()}
    other = Practice(model, ring, PracticeConfig(), num_segments=1, seed=0, clock=clock)
    other.load_state(state)
    assert other.state().keys() == state.keys() != set()
    for name, array in other.state().items():
        assert (array == state[name]).all(), name
    other.work(practice._config.every_ticks, 1 << 60, 1)
    assert other.num_steps == 1
    assert {float(array) for name, array in other.state().items() if name.endswith(".step")} == {3.0}


def test_moments_of_an_earlier_version_or_of_other_weights_begin_anew(practice: Practice):
    practice.work(4, 1 << 60, 1)
    state = practice.state()
    practice.load_state({name: array[..., :1] for name, array in state.items() if array.ndim > 1})
    assert practice.state() == {}
    practice.work(8, 1 << 60, 1)
    practice.load_state({})
    assert practice.state() == {}


def test_a_cost_fits_by_its_99th_percentile():
    cost = Cost()
    assert cost.fits(0)
    for _ in range(60):
        cost.note(10)
    cost.note(1000)
    assert not cost.fits(100)
    assert cost.fits(1000)
