"""What ends a run with a crisis, and what does not."""

from __future__ import annotations

from sage.runtime.sleep.crisis import EVERY_TICKS, MAX_NONFINITE, CrisisWatch


def test_a_model_not_finite_three_times_in_a_row_is_a_crisis():
    watch = CrisisWatch(1 << 60)
    for _ in range(MAX_NONFINITE - 1):
        watch.note_model(is_finite=False)
    assert watch.check(1) == ""
    watch.note_model(is_finite=True)
    for _ in range(MAX_NONFINITE):
        watch.note_model(is_finite=False)
    assert watch.check(1).startswith("the model's output is not finite for 3 ticks")


def test_memory_above_the_limit_is_checked_every_hundredth_tick():
    watch = CrisisWatch(1 << 20)
    assert watch.check(EVERY_TICKS + 1) == ""
    assert "max_resident_bytes is 1 MiB" in watch.check(EVERY_TICKS)
    assert CrisisWatch(1 << 60).check(EVERY_TICKS) == ""
