"""What replaces a faulty source's readings: a jump and a standstill of one source, and what is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sage.compiled import has_compiler
from sage.runtime.prediction import substitute_rules as rules
from sage.runtime.prediction import substitute_steps as steps
from sage.runtime.prediction.substitute import Substitutes

NUM, FAULT_AT, CHANNELS, PERIOD_NS = 600, 400, 2, 20_000_000
VICTIM = slice(0, CHANNELS)


def returning(seed: int, keep: float = 0.8) -> np.ndarray:
    """(NUM, 3 sources x CHANNELS) levels that return to their mean, of deviation 1."""
    noise = np.random.default_rng(seed).normal(0, np.sqrt(1 - keep**2), (NUM, 3 * CHANNELS))
    for row in range(1, NUM):
        noise[row] += keep * noise[row - 1]
    return noise


def spoil(values: np.ndarray, fault: str, size: float = 8.0) -> np.ndarray:
    """A copy with the fault from FAULT_AT on: in the first source, or in all ("common")."""
    spoiled = values.copy()
    if fault == "stuck":
        spoiled[FAULT_AT:, VICTIM] = values[FAULT_AT, VICTIM]
    elif fault == "spike":
        spoiled[FAULT_AT, VICTIM] += size
    elif fault == "pause":
        spoiled[FAULT_AT:] = values[FAULT_AT]
    else:
        spoiled[FAULT_AT:, slice(None) if fault == "common" else VICTIM] += size
    return spoiled


class Played:
    """kinds: (T, 3).  predicted: (T, 3 x CHANNELS) by "as the one before"."""

    def __init__(
        self,
        values: np.ndarray,
        substitutes: Substitutes,
        times_ns: np.ndarray | None = None,
        *,
        first: float | None = None,
        asleep_until: int = 0,
    ) -> None:
        """first: what is predicted before the first reading; None: that reading.  asleep_until: row before
        which a night is in progress.
        """
        fresh, defined = np.ones(3, dtype=bool), np.zeros(3, dtype=bool)
        times = np.arange(len(values)) * PERIOD_NS if times_ns is None else times_ns
        self.kinds, self.predicted = np.zeros((len(values), 3), dtype=int), np.zeros_like(values)
        last = values[0].copy() if first is None else np.full(values.shape[1], first)
        mean, square = np.zeros(values.shape[1]), np.zeros(values.shape[1])
        for row, reading in enumerate(values):
            self.predicted[row] = last
            if row < asleep_until:
                substitutes.expect_jumps()
            captured = np.full(3, times[row], dtype=np.int64)
            moments = (np.full(len(mean), float(row)), mean, square)
            last = substitutes.read(fresh, reading, captured, last, moments).copy()
            off = last - mean
            mean += off / (row + 1)
            square += off * (last - mean)
            substitutes.compare(fresh, np.zeros(len(reading)), defined)
            last = np.where(np.repeat(substitutes.is_frozen, CHANNELS), substitutes.believed, last)
            self.kinds[row] = substitutes.kind

    def error(self, true: np.ndarray) -> float:
        """Mean squared error of the first source over its true values after the fault's first reading."""
        rows = slice(FAULT_AT + 1, FAULT_AT + 1 + rules.MAX_STEP)
        return float(((self.predicted - true)[rows, VICTIM] ** 2).mean())


def substitutes(**options: bool) -> Substitutes:
    return Substitutes(np.arange(4) * CHANNELS, np.ones(3, dtype=bool), **options)


@pytest.mark.parametrize("seed", range(3))
def test_the_offset_of_a_jump_is_taken_off(seed: int) -> None:
    true = returning(seed)
    healthy = Played(true, substitutes())
    faulty = Played(spoil(true, "bias"), substitutes())
    assert not healthy.kinds.any()
    assert (faulty.kinds[FAULT_AT : FAULT_AT + 50, 0] == rules.STEP).all()
    assert not faulty.kinds[:, 1:].any()
    assert faulty.error(true) < 2.5 * healthy.error(true)
    assert np.mean((spoil(true, "bias") - true)[FAULT_AT:, VICTIM] ** 2) > 50 * faulty.error(true)


@pytest.mark.parametrize("seed", range(3))
def test_a_source_that_stands_still_is_estimated_by_its_way_back_to_the_mean(seed: int) -> None:
    true = returning(seed)
    true[FAULT_AT, VICTIM] = 2.5  # far from the mean
    spoiled = spoil(true, "stuck")
    found = Played(spoiled, substitutes())
    assert (found.kinds[FAULT_AT + rules.MIN_RUN : FAULT_AT + 100, 0] == rules.FROZEN).all()
    assert found.error(true) < 0.5 * np.mean((spoiled - true)[FAULT_AT + 1 :, VICTIM] ** 2)
    assert abs(found.predicted[FAULT_AT + 60, 0]) < 0.5


def test_a_jump_that_others_share_is_believed() -> None:
    true = spoil(returning(0), "common")
    assert not Played(true, substitutes()).kinds.any()


@pytest.mark.parametrize("compiled", [True, False])
def test_a_jump_beside_a_night_is_believed(compiled: bool) -> None:
    """The last row of the night is so many before the jump."""
    values = spoil(returning(0), "bias")
    for after, is_believed in ((-20, True), (rules.NIGHT_TICKS - 1, True), (rules.NIGHT_TICKS + 5, False)):
        found = Played(values, substitutes(is_compiled=compiled), asleep_until=FAULT_AT - after + 1)
        assert found.kinds[FAULT_AT : FAULT_AT + 20, 0].any() != is_believed
    assert found.kinds[FAULT_AT, 0] == rules.STEP


def test_a_pause_of_all_sources_is_believed() -> None:
    assert not Played(spoil(returning(0), "pause"), substitutes()).kinds.any()


def test_without_other_sources_nothing_is_replaced() -> None:
    alone = Substitutes(np.arange(4) * CHANNELS, np.array([True, False, False]))
    assert not Played(spoil(returning(0), "bias"), alone).kinds.any()


def test_a_spike_costs_one_reading() -> None:
    found = Played(spoil(returning(0), "spike"), substitutes())
    assert np.flatnonzero(found.kinds[:, 0]).tolist() == [FAULT_AT]


def test_a_change_that_lasts_is_believed_after_a_bounded_time_and_not_doubted_again() -> None:
    found = Played(spoil(returning(0), "bias"), substitutes())
    assert np.flatnonzero(found.kinds[:, 0]).tolist() == list(range(FAULT_AT, FAULT_AT + rules.MAX_STEP + 1))
    assert abs(found.predicted[-1, 0] - 8.0) < 4.0


def test_a_standstill_is_believed_after_a_bounded_time_and_not_replaced_again() -> None:
    values = returning(0)
    values = np.concatenate([values, np.tile(values, (2, 1))])
    values[FAULT_AT:, VICTIM] = values[FAULT_AT, VICTIM]
    held = np.flatnonzero(Played(values, substitutes()).kinds[:, 0])
    assert held[0] == FAULT_AT + rules.MIN_RUN
    assert held[-1] == held[0] + rules.MAX_FROZEN - 1


def test_a_source_that_moves_again_is_believed_at_once() -> None:
    values = returning(0)
    values[FAULT_AT : FAULT_AT + 20, VICTIM] = values[FAULT_AT, VICTIM]
    assert Played(values, substitutes()).kinds[FAULT_AT + 20 :, 0].tolist() == [rules.NONE] * 180


def wandering(seed: int) -> np.ndarray:
    """(NUM, 6) levels that have no mean to return to."""
    return np.cumsum(np.random.default_rng(seed).normal(0, 1, (NUM, 3 * CHANNELS)), axis=0)


def bursts(seed: int) -> np.ndarray:
    """(NUM, 6) rates with a heavy tail."""
    return np.random.default_rng(seed).pareto(1.0, (NUM, 3 * CHANNELS))


@pytest.mark.parametrize("make", [wandering, bursts])
@pytest.mark.parametrize("seed", range(3))
def test_jumps_are_believed_where_they_are_usual_or_last(
    make: Callable[[int], np.ndarray], seed: int
) -> None:
    values = make(seed)
    size = 4 * np.abs(np.diff(values[:FAULT_AT, 0])).max()
    assert not (Played(spoil(values, "bias", size), substitutes()).kinds[:, 0] == rules.STEP).any()


def test_a_source_that_repeats_by_nature_is_believed() -> None:
    values = np.round(returning(0) / 2)
    values[FAULT_AT:, VICTIM] = values[FAULT_AT, VICTIM]
    assert not Played(values, substitutes()).kinds.any()


def test_the_first_readings_after_a_gap_are_believed() -> None:
    times = np.arange(NUM) * PERIOD_NS
    times[FAULT_AT:] += 10 * PERIOD_NS
    assert not Played(spoil(returning(0), "bias"), substitutes(), times).kinds.any()


@pytest.mark.skipif(not has_compiler(), reason="numba is not installed")
@pytest.mark.parametrize("fault", ["bias", "stuck", "spike", "common"])
def test_compiled_and_interpreted_agree(fault: str) -> None:
    pair = [substitutes(is_compiled=is_compiled) for is_compiled in (False, True)]
    played = [Played(spoil(returning(1), fault), each) for each in pair]
    np.testing.assert_array_equal(played[0].kinds, played[1].kinds)
    np.testing.assert_allclose(played[0].predicted, played[1].predicted, rtol=1e-9, atol=1e-12)


def test_records_are_restored_and_nothing_is_replaced_in_another_run() -> None:
    first, second = substitutes(), substitutes()
    Played(spoil(returning(0), "bias")[: FAULT_AT + 10], first)
    assert first.is_active
    second.load_state(first.state())
    assert not second.is_active
    records = (steps.RECORD, steps.USUAL, steps.SLOW_SQUARE)
    for row in records:
        assert np.array_equal(second.state()["by_channel"][row], first.state()["by_channel"][row])
    later = 100.0 + returning(5)  # another place: its first readings do not follow from the last ones
    assert not Played(later[:100], second).kinds.any()


def test_a_jump_is_found_in_a_run_that_continues_from_a_snapshot() -> None:
    """Its first reading is predicted from nothing, and is no record of an innovation."""
    first, second = substitutes(), substitutes()
    Played(1000.0 + returning(0), first, first=0.0)
    second.load_state(first.state())
    found = Played(1000.0 + spoil(returning(5), "bias"), second, first=0.0)
    assert np.flatnonzero(found.kinds[:, 0])[0] == FAULT_AT
    assert not found.kinds[:, 1:].any()


def test_the_first_reading_after_a_gap_is_no_record() -> None:
    values, times = returning(0)[:301], np.arange(301) * PERIOD_NS
    values[300] += 50.0  # the world went on in the gap
    times[300] += 100 * PERIOD_NS
    each = substitutes()
    Played(values, each, times)
    assert each.state()["by_channel"][steps.RECORD].max() < 10.0


def test_an_old_source_that_stands_still_is_believed_after_a_bounded_time_too() -> None:
    each = substitutes()
    Played(returning(0), each)
    state = each.state()
    state["by_source"][steps.MOVES] = 1e6
    each.load_state(state)
    values = returning(1)
    values = np.concatenate([values, *[values] * 3])
    values[FAULT_AT:, VICTIM] = values[FAULT_AT, VICTIM]
    held = np.flatnonzero(Played(values, each).kinds[:, 0])
    assert held.tolist() == list(range(FAULT_AT + rules.MIN_RUN, FAULT_AT + rules.MIN_RUN + rules.MAX_FROZEN))


def test_a_source_that_falls_silent_is_replaced_no_more() -> None:
    each = substitutes()
    Played(spoil(returning(0), "bias")[: FAULT_AT + 10], each)
    assert each.is_active
    each.end(np.array([False, True, True]))
    assert each.is_active
    each.end(np.array([True, False, False]))
    assert not each.is_active
    values = np.full(3 * CHANNELS, 7.0)
    read = each.read(
        np.ones(3, dtype=bool), values, np.full(3, 10**12), values, (np.ones(6), np.zeros(6), np.ones(6))
    )
    assert np.array_equal(read, values)


def test_an_older_snapshot_leaves_no_record() -> None:
    each = substitutes()
    each.load_state({})
    assert not each.state()["by_channel"].any()


def test_a_source_that_is_not_tested_is_scored_over_its_own_last_reading() -> None:
    each = Substitutes(np.arange(4) * CHANNELS, np.array([True, True, False]))
    each.kind[0] = rules.STEP
    fresh, nothing = np.ones(3, dtype=bool), np.zeros(3 * CHANNELS)
    for reading in (5.0, 6.0):
        last = np.full(3 * CHANNELS, reading - 1.0)
        each.read(fresh, np.full(3 * CHANNELS, reading), np.zeros(3, dtype=np.int64), last, (nothing,) * 3)
    each.kind[0] = rules.STEP
    raw = each.raw(fresh, np.full(3 * CHANNELS, 6.0), last=np.full(3 * CHANNELS, 4.5))
    assert raw is not None
    assert raw.before.tolist() == [5.0] * (2 * CHANNELS) + [4.5] * CHANNELS
