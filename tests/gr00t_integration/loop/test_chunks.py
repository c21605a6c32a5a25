"""The executor: steps at their own time, blends, and drops what is stale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sage.gr00t_integration.loop.chunks import Chunk, ChunkBoard, ChunkExecutor

STEP_NS = 100


def chunk(
    sequence: int, observed_ns: int, base: float, num: int = 8, received_ns: int | None = None
) -> Chunk:
    """Values base, base + 1, ...; received 200 ns after its observation."""
    return Chunk(
        values=(base + np.arange(num, dtype=np.float32))[:, None],
        observed_ns=observed_ns,
        received_ns=observed_ns + 200 if received_ns is None else received_ns,
        sequence=sequence,
    )


def executor(**changed: Any) -> ChunkExecutor:
    settings = {"step_ns": STEP_NS, "execute_steps": 8, "blend_steps": 0, "max_age_ns": 10_000} | changed
    return ChunkExecutor(**settings)


def values_of(one: ChunkExecutor, newest: Chunk | None, *times_ns: int) -> list[float | None]:
    found = [one.values(newest, now_ns) for now_ns in times_ns]
    return [None if each is None else float(each[0]) for each in found]


def test_each_step_has_its_time_and_the_latency_is_skipped() -> None:
    first = chunk(0, 1000, 0.0)
    assert values_of(executor(), first, 1200, 1250, 1300, 1799, 1800) == [2, 2, 3, 7, None]
    received = executor(align="received")
    assert values_of(received, first, 1200, 1300, 1999, 2000) == [0, 1, 7, None]


def test_only_so_many_steps_of_a_chunk_are_executed() -> None:
    assert values_of(executor(execute_steps=4), chunk(0, 0, 0.0), 200, 300, 400) == [2, 3, None]


def test_a_chunk_that_is_too_old_is_dropped() -> None:
    one = executor(max_age_ns=450)
    assert values_of(one, chunk(0, 0, 0.0), 400, 500) == [4, None]
    late = executor()
    assert values_of(late, chunk(0, 0, 0.0), 900) == [None]
    assert late.num_stale == 1
    assert values_of(late, chunk(0, 0, 0.0), 950) == [None]
    assert late.num_stale == 1


def test_two_chunks_are_blended_in_equal_parts() -> None:
    one = executor(blend_steps=3)
    first, second = chunk(0, 0, 0.0), chunk(1, 200, 100.0)
    assert values_of(one, first, 200, 300) == [2, 3]
    # At 400 the first has 4 and the second 102; a quarter more of the second in each step.
    assert values_of(one, second, 400, 500, 600, 700) == [4 + 98 / 4, 5 + 98 / 2, 6 + 98 * 3 / 4, 105]


def test_where_the_old_chunk_has_ended_the_blend_starts_from_what_was_last_done() -> None:
    one = executor(blend_steps=1)
    short = chunk(0, 0, 0.0, num=4)
    assert values_of(one, short, 300) == [3]
    assert values_of(one, chunk(1, 200, 100.0), 400, 500) == [3 + (102 - 3) / 2, 103]


def test_after_a_gap_nothing_is_blended() -> None:
    one = executor(blend_steps=3)
    assert values_of(one, chunk(0, 0, 0.0, num=4), 300, 400) == [3, None]
    assert values_of(one, chunk(1, 400, 100.0), 500) == [101]


def test_after_a_drop_only_a_chunk_of_a_later_observation_is_executed() -> None:
    one = executor()
    first = chunk(0, 0, 0.0)
    assert values_of(one, first, 100) == [1]
    one.drop(150)
    assert values_of(one, first, 200) == [None]
    assert values_of(one, chunk(1, 150, 50.0), 250) == [None]
    assert values_of(one, chunk(2, 151, 50.0), 251) == [51]


def test_a_new_board_counts_from_0_again_and_what_was_dropped_stays_dropped() -> None:
    one = executor()
    assert values_of(one, chunk(7, 0, 0.0), 100) == [1]
    one.drop(150)
    one.restart()
    assert values_of(one, chunk(0, 100, 0.0), 200) == [None]
    assert values_of(one, chunk(1, 200, 0.0), 300) == [1]


def test_a_chunk_of_the_future_is_not_executed() -> None:
    assert values_of(executor(), chunk(0, 500, 0.0), 400) == [None]


@pytest.mark.parametrize("seed", range(5))
def test_blended_values_stay_between_those_of_both_chunks(seed: int) -> None:
    random = np.random.default_rng(seed)
    one = executor(blend_steps=int(random.integers(0, 6)), execute_steps=6)
    newest, sequence = chunk(0, 0, 0.0), 0
    low, high = 0.0, 7.0
    for now_ns in range(0, 20_000, 50):
        if random.random() < 0.1:
            sequence += 1
            base = float(random.normal(0, 50))
            newest = chunk(sequence, now_ns - int(random.integers(0, 300)), base)
            low, high = min(low, base), max(high, base + 7)
        found = one.values(newest, now_ns)
        assert found is None or low <= found[0] <= high


def test_a_board_holds_the_newest_chunk() -> None:
    board = ChunkBoard()
    assert board.newest() is None
    for expected in range(2):
        assert board.put(np.zeros((2, 1)), observed_ns=expected, received_ns=5) == expected
    newest = board.newest()
    assert newest is not None
    assert (newest.sequence, newest.observed_ns) == (1, 1)
