"""Sense and gather: the freshest lease of each source, its record beside it, and everything given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from sage.app.session.build import Run, build_run
from sage.compiled import has_compiler
from sage.mailbox.clock import ManualClock
from sage.runtime.tick.senses import Gathered


def test_only_a_source_with_a_new_reading_is_fresh(start, settings):
    clock = ManualClock()
    senses = start(settings(), clock=clock).loop.senses
    gathered = senses.gather(clock.now_ns())
    assert not gathered.fresh.any()
    assert gathered.array(0) is None
    assert gathered.captured_ns.tolist() == [-1, -1, -1]
    gathered.release()
    senses.sense(clock.now_ns())
    gathered = senses.gather(clock.now_ns())
    assert gathered.fresh[:2].all()
    assert np.isfinite(gathered.confidence[:2]).all()
    gathered.release()
    gathered.release()


def test_of_many_readings_only_the_newest_is_taken(start, settings):
    clock = ManualClock()
    senses = start(settings(), clock=clock).loop.senses
    clock.advance(500_000_000)
    for _ in range(12):
        senses.sense(clock.now_ns())
    gathered = senses.gather(clock.now_ns())
    assert gathered.captured_ns[0] == 500_000_000
    assert gathered.states[0].sequence == gathered.sequence(0) == 10
    gathered.release()


def test_a_batch_and_mailboxes_give_equal_readings_and_reports(settings, tmp_path: Path) -> None:
    """Of vectors, a reading that is mapped, another type, and readings of which some are too old."""
    sensors = [
        {"kind": "synthetic", "name": "vector", "shape": [3]},
        {"kind": "synthetic", "name": "wide", "shape": [2, 80], "seed": 1},
        {"kind": "synthetic", "name": "bytes", "shape": [4], "dtype": "uint8", "seed": 2},
        {"kind": "synthetic", "name": "old", "shape": [2], "rate_hz": 7, "max_age_secs": 0.03},
    ]
    config = settings(sensors=sensors, practice={"enabled": False})
    found = []
    for is_batched in (True, False):
        run = build_run(config, ManualClock(), directory=tmp_path / f"{is_batched}")
        if not is_batched:
            run.loop.senses.post_each()
        with closing(run):
            run.open()
            found.append(list(_ticks(run, 60)))
            num_posted = sum(mailbox.pushed for mailbox in run.hub.snapshot().focus)
        assert (num_posted == 0) == (is_batched and has_compiler())
    for (digest, arrays), (expected_digest, expected_arrays) in zip(*found):
        assert digest == expected_digest
        for array, expected in zip(arrays, expected_arrays):
            np.testing.assert_array_equal(array, expected)
            assert array is None or array.dtype == expected.dtype
    num_old = sum(arrays[3] is not None for _, arrays in found[0])
    assert 5 < num_old < 20


def test_every_reward_and_reset_counts_whatever_else_there_is(start, settings, tmp_path: Path) -> None:
    """More sources than places, and several readings between two ticks."""
    rng = np.random.default_rng(0)
    table = np.column_stack([np.arange(2000) / 100, rng.integers(1, 9, 2000), rng.random(2000) < 0.02])
    path = tmp_path / "world.csv"
    lines = ["t,reward,reset", *(f"{t:.2f},{reward:.0f},{reset:.0f}" for t, reward, reset in table)]
    path.write_text("\n".join(lines))
    shared = {"kind": "table", "path": str(path), "time": "t", "max_rate_hz": 200}
    sensors = [
        *({"kind": "synthetic", "name": f"s{index}", "shape": [2], "seed": index} for index in range(20)),
        {**shared, "name": "game.reward", "columns": ["reward"], "observes": "reward"},
        {**shared, "name": "game.reset", "columns": ["reset"], "observes": "reset"},
    ]
    clock = ManualClock()
    run = build_run(settings(sensors=sensors, attention={"top_k": 4}), clock, directory=tmp_path / "run")
    run.loop.senses.post_each()
    with closing(run):
        run.open()
        total, num_resets = 0.0, 0
        for _ in range(60):
            for _ in range(3):  # readings that come between two ticks
                clock.advance(10_000_000)
                run.loop.senses.sense(clock.now_ns())
            run.loop.tick()
            total += np.nansum(run.loop.worlds.reward)
            num_resets += bool(run.loop.worlds.reset.any())
        num_read = run.loop.senses.drivers[20].statistics().num_readings
    assert num_read > 150
    assert total == table[:num_read, 1].sum()
    at_ticks = {int(index) for index in np.flatnonzero(table[:num_read, 2])}
    assert 0 < num_resets <= len(at_ticks)


def _ticks(run: Run, num_ticks: int) -> Iterator[tuple[str, list[np.ndarray | None]]]:
    """Each tick's digest, and copies of its new readings."""
    arrays: list[np.ndarray | None] = []
    gather = run.loop.senses.gather

    def noted(now_ns: int) -> Gathered:
        gathered = gather(now_ns)
        arrays[:] = [
            None if (array := gathered.array(source)) is None else array.copy() for source in range(4)
        ]
        return gathered

    run.loop.senses.gather = noted
    for _ in range(num_ticks):
        digest = run.loop.tick().facts.digest()
        yield digest, list(arrays)
        run.loop.clock.advance(50_000_000)


def test_all_leases_of_a_hundred_ticks_are_released(start, settings):
    """Four slots a source: one lease kept back a tick would stop it at the fifth."""
    run = start(settings(practice={"enabled": False}))
    reports = []
    for _ in range(100):
        reports.append(run.loop.tick())
        run.loop.clock.advance(50_000_000)
    assert all(
        source.is_fresh
        for report in reports[1:]
        for source in report.facts.sources
        if source.name in ("s0", "s1")
    )
