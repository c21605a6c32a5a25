"""Trust over a recorded hour of the host: the faults put into it, copies of a replay, its bars."""

from __future__ import annotations

import numpy as np
import pytest
from _fusion_host import (
    FAULTS,
    Hour,
    Replay,
    changes,
    host_bars,
    load_hour,
    run_hour,
    runs,
    second_half,
    spoil,
)


def test_a_fault_begins_at_its_onset_and_has_its_size() -> None:
    times = np.arange(200) / 4
    values = np.random.default_rng(0).standard_normal((200, 2))
    size = 4 * values[:100].std(axis=0)
    for fault in FAULTS:
        spoiled = spoil(times, values, fault, at=25.0)
        assert np.array_equal(spoiled[:100], values[:100]), fault
        assert not np.array_equal(spoiled[100:], values[100:]), fault
    assert np.all(spoil(times, values, "stuck", 25.0)[100:] == values[100])
    assert np.allclose((spoil(times, values, "bias", 25.0) - values)[100:], size)
    assert np.allclose((spoil(times, values, "drift", 25.0) - values)[140], size)
    assert np.count_nonzero((spoil(times, values, "spikes", 25.0) - values)[:, 0]) == 20
    assert np.array_equal(spoil(times, values, "delay", 25.0)[100:], values[92:192])


def test_the_kept_hour_replays_and_a_copy_leaves_the_original_alone() -> None:
    recording = load_hour()
    assert all(times[-1] > 3600 and np.all(np.diff(times) > 0) for times, _ in recording.values())
    assert all(np.isfinite(values).all() for _, values in recording.values())
    replay, alone = Replay(recording), Replay(recording)
    for _ in range(300):
        replay.step()
        alone.step()
    faulty = replay.fork()
    times, values = recording["ram"]
    faulty.readings = {**replay.readings, "ram": spoil(times, values, "bias", replay.now)}
    for each in (faulty, replay, alone):
        for _ in range(40):
            each.step()
    assert np.array_equal(replay.trust.state()["_moments"], alone.trust.state()["_moments"])
    assert not np.array_equal(replay.trust.state()["_moments"], faulty.trust.state()["_moments"])


def test_four_views_of_one_state_meet_the_bars_of_noise() -> None:
    times = np.arange(1, 501) / 5
    generator = np.random.default_rng(1)
    state = np.cumsum(generator.standard_normal((500, 1)), axis=0) * 0.1
    recording = {name: (times, state + 0.05 * generator.standard_normal((500, 1))) for name in "abcd"}
    found = run_hour(recording, onsets=(85,))
    assert all(at is not None and at < 60 for at in found.judged_at.values())
    assert all(secs is not None for each in found.reached.values() for secs in each["noise"].values())
    assert max(found.longest_low.values()) < 5
    bars = {bar.name: bar for bar in host_bars(found, is_quick=False)}
    assert bars["healthy: longest time below 0.7, s"].is_met is True
    assert bars["noise: share below 0.5 within 10 s"].value == pytest.approx(1.0)


def test_bars_of_a_source_that_lost_trust_for_long_are_missed() -> None:
    assert runs(np.array([0, 1, 1, 0, 1, 1, 1], dtype=bool)) == [(1, 3), (4, 7)]
    assert runs(np.zeros(3, dtype=bool)) == []
    hour = Hour(
        secs=100.0,
        longest_low={"a": 9.0},
        judged_at={"a": None},
        reached={"a": {"bias": {30.0: None, 60.0: 2.0}}},
        low_times={"a": [(1.0, 10.0), (48.0, 54.0)]},
    )
    bars = {bar.name: bar for bar in host_bars(hour, is_quick=False)}
    assert bars["healthy: longest time below 0.7, s"].is_met is False
    assert bars["share of sources judged within 60 s"].is_met is False
    assert bars["bias: share below 0.5 within 10 s"].value == 0.5
    later = second_half(hour)
    assert later.longest_low == {"a": 4.0}
    assert later.reached == {"a": {"bias": {60.0: 2.0}}}


def test_a_fault_that_changes_no_reading_is_not_counted() -> None:
    times = np.arange(1, 501) / 5
    recording = {"cpu": (times, np.where(times < 50, 0.5, 1.0)[:, None])}
    stuck, bias = (spoil(*recording["cpu"], fault, at=60.0) for fault in ("stuck", "bias"))
    assert not changes(recording, "cpu", stuck, 60.0)
    assert changes(recording, "cpu", bias, 60.0)


def test_the_first_minutes_of_the_kept_hour() -> None:
    """Nothing is wrong in them, and a bias of memory in use is seen."""
    recording = load_hour()
    found = run_hour({name: recording[name] for name in ("ram", "process")}, (100,), 120.0)
    assert max(found.longest_low.values()) <= 5
    assert all(at is not None and at <= 60 for at in found.judged_at.values())
    assert all(found.reached["ram"][fault][100] is not None for fault in ("bias", "noise", "spikes"))
