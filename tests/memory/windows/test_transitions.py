"""Windows are what was lived, in order, with the carry they began with, and never across a break."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sage.memory.windows.transitions import TransitionRing
from sage.memory.windows.window import Window

Append = Callable[[TransitionRing, int], None]


def ticks_of(window: Window) -> np.ndarray:
    """(B, T+1), from the values."""
    return window.values[..., 0].numpy().astype(int)


def test_a_window_gives_back_what_was_appended(ring: TransitionRing, tick_into: Append) -> None:
    for tick in range(9):
        tick_into(ring, tick)
    window = ring.latest(4)
    assert window is not None
    np.testing.assert_array_equal(ticks_of(window), [[4, 5, 6, 7, 8]])
    assert window.present[0, :, 1].tolist() == [True, False, True, False, True]
    assert window.fresh[0, :, 0].tolist() == [False, False, True, False, False]
    torch.testing.assert_close(window.weight[0, 0], torch.tensor([0.7, 0.3]))
    assert window.reward[0].tolist() == [4, 5, 6, 7, 8]
    assert window.action.isnan().all()
    assert (window.z_H == 4).all()
    assert (window.z_L == -4).all()
    assert (int(window.start_tick), int(window.start_time_ns)) == (4, 200_000_000)


def test_latest_lags_less_than_one_stride_and_latest_to_now_does_not_lag(
    ring: TransitionRing, tick_into: Append
) -> None:
    for tick in range(50):
        tick_into(ring, tick)
        if tick >= 8:
            exact, to_now = ring.latest(4), ring.latest_to_now(4)
            assert exact is not None
            assert to_now is not None
            assert exact.num_ticks == 4
            assert tick - ring.carry_every < ticks_of(exact)[0, -1] <= tick
            assert ticks_of(to_now)[0, -1] == tick
            assert 4 <= to_now.num_ticks < 4 + ring.carry_every
            assert (to_now.z_H == ticks_of(to_now)[0, 0]).all()


def test_there_is_no_window_before_there_are_enough_ticks(ring: TransitionRing, tick_into: Append) -> None:
    generator = torch.Generator().manual_seed(0)
    for tick in range(4):
        tick_into(ring, tick)
        assert ring.sample(2, 4, generator) is None
        assert ring.latest(4) is None
        assert ring.latest_to_now(4) is None


def test_there_is_no_latest_window_right_after_a_break(ring: TransitionRing, tick_into: Append) -> None:
    for tick in range(12):
        tick_into(ring, tick)
    ring.mark_break()
    assert ring.latest(4) is None
    assert ring.latest_to_now(4) is None
    assert (
        ring.sample(1, 4, torch.Generator().manual_seed(0)) is not None
    )  # practice may still learn from before


def test_a_missing_tick_is_a_break_by_itself(ring: TransitionRing, tick_into: Append) -> None:
    for tick in [*range(6), *range(7, 13)]:
        tick_into(ring, tick)
    window = ring.sample(64, 4, torch.Generator().manual_seed(0))
    assert window is not None
    assert (np.diff(ticks_of(window)) == 1).all()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 25), min_size=1, max_size=6),
    capacity=st.integers(4, 40),
    carry_every=st.integers(1, 4),
    length=st.integers(1, 9),
)
def test_windows_never_span_a_break(
    tick_into: Append, lengths: list[int], capacity: int, carry_every: int, length: int
) -> None:
    ring, tick, run_of_tick = TransitionRing(capacity, 3, 2, 1, (2, 4), carry_every), 0, {}
    for run, num_ticks in enumerate(lengths):
        for _ in range(num_ticks):
            tick_into(ring, tick)
            run_of_tick[tick] = run
            tick += 1
        ring.mark_break()
    window = ring.sample(32, length, torch.Generator().manual_seed(0))
    if window is None:
        return
    ticks = ticks_of(window)
    assert (np.diff(ticks) == 1).all()
    assert ticks.min() >= tick - len(ring)
    assert all(run_of_tick[row[0]] == run_of_tick[row[-1]] for row in ticks)
    np.testing.assert_array_equal(window.z_H[:, 0, 0].numpy(), ticks[:, 0])
    np.testing.assert_array_equal(window.start_tick.numpy(), ticks[:, 0])


def test_one_seed_draws_the_same_windows(ring: TransitionRing, tick_into: Append) -> None:
    for tick in range(30):
        tick_into(ring, tick)
    one, other = (ring.sample(8, 4, torch.Generator().manual_seed(7)) for _ in range(2))
    assert one is not None
    assert other is not None
    assert torch.equal(one.values, other.values)


def test_a_sample_is_not_overwritten_by_later_frames(ring: TransitionRing, tick_into: Append) -> None:
    for tick in range(12):
        tick_into(ring, tick)
    window = ring.latest(4)
    assert window is not None
    before = window.values.clone()
    for tick in range(12, 60):
        tick_into(ring, tick)
    assert torch.equal(window.values, before)
    assert len(ring) == ring.capacity


def test_a_ring_without_room_for_a_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="carry_every"):
        TransitionRing(3, 1, 1, 1, (1, 1), carry_every=4)


def test_resets_of_a_world_are_in_the_windows_to_practise_on_and_in_no_stored_one(
    ring: TransitionRing, tick_into: Callable[..., None]
) -> None:
    for tick in range(1, 10):
        tick_into(ring, tick)
    whole = ring.latest(4)
    assert whole is not None
    assert whole.reset is None
    tick_into(ring, 10, reset=1.0)
    for tick in range(11, 14):
        tick_into(ring, tick)
    assert ring.latest(4) is None
    windows = ring.sample(32, 4, torch.Generator().manual_seed(0))
    assert windows is not None
    assert windows.reset is not None
    expected = (windows.start_tick[:, None] + torch.arange(5) == 10).float()
    assert torch.equal(windows.reset, expected)
    assert expected.any()
    now = ring.latest_to_now(4)
    assert now is not None
    assert now.reset is not None
    assert windows[3:5].reset.shape == (2, 5)


def test_no_sampled_window_has_a_held_out_frame_or_follows_one_within_its_length(tick_into: Append) -> None:
    held_out = set(range(20, 26))
    ring = TransitionRing(
        64, 3, 2, 1, (2, 4), carry_every=1, is_held_out=lambda time_ns: time_ns // 50_000_000 in held_out
    )
    generator = torch.Generator().manual_seed(0)
    for tick in range(100):
        tick_into(ring, tick)
        if tick == 50:
            window = ring.sample(500, 4, generator)
    assert window is not None
    starts = {int(ticks[0]) for ticks in ticks_of(window)}
    assert starts == {*range(16), *range(30, 47)}, "a window of 4 from 26 to 29 may be in an examined one too"
    late = ring.sample(500, 4, generator)
    assert late is not None
    assert {int(ticks[0]) for ticks in ticks_of(late)} == set(range(36, 96))


def test_nothing_is_sampled_while_all_frames_are_held_out(tick_into: Append) -> None:
    ring = TransitionRing(32, 3, 2, 1, (2, 4), carry_every=1, is_held_out=lambda time_ns: True)
    for tick in range(20):
        tick_into(ring, tick)
    assert ring.sample(4, 4, torch.Generator().manual_seed(0)) is None
    assert ring.latest(4) is not None, "examined windows are the newest ones"
