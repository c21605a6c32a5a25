"""Measurements in the loop: trust by the filter, an estimate that is a source, restart, sources that come and
go.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sage.app.config.sage_config import SageConfig
from sage.app.session.build import Run
from sage.mailbox.clock import ManualClock
from sage.runtime.report import Event, SleepReport, TickReport
from sage.runtime.snapshot import load_snapshot, save_snapshot
from sage.sensors.devices.synthetic import Signal, SyntheticConfig

Start = Callable[..., Run]
Settings = Callable[..., SageConfig]
NAMES = ("a", "b", "c", "d", "e")
QUIET: dict[str, Any] = {"practice": {"enabled": False}, "model": {"kind": "linear", "hidden_size": 16}}


class Reports:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ticks: list[TickReport] = []

    def on_tick(self, report: TickReport) -> None:
        self.ticks.append(report)

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def messages(self, source: str) -> list[str]:
        found = [event for event in self.events if event.kind == "measurements" and event.source == source]
        return [event.message for event in found]


def sensor(name: str, **changed: Any) -> dict[str, Any]:
    """Of one quantity of two numbers that moves; noise of its own."""
    shared = {"kind": "synthetic", "shape": [2], "latent_seed": 25, "latent_size": 2, "view_seed": 3}
    return {**shared, "name": name, "seed": NAMES.index(name), "noise_std": 0.3, **changed}


def config(settings: Settings, *changed: dict[str, Any], **sections: Any) -> SageConfig:
    sensors = {name: sensor(name) for name in NAMES} | {each["name"]: each for each in changed}
    group = {"name": "p", "sources": list(NAMES), "motion": "constant_velocity", "motion_std": 4}
    return settings(
        sensors=[*sensors.values(), {"kind": "memory", "name": "recall"}],
        **(QUIET | {"measurements": [group]} | sections),
    )


def started(start: Start, made: SageConfig) -> tuple[Run, Reports]:
    reports = Reports()
    return start(made, instruments=(reports,)), reports


FROZEN = {"at_secs": 2.0, "for_secs": 600.0, "fault": "frozen"}


def test_a_stuck_source_loses_trust_and_the_estimate_is_a_source_near_the_truth(
    start: Start, settings: Settings
) -> None:
    run, reports = started(start, config(settings, sensor("c", faults=[FROZEN])))
    state = Signal(SyntheticConfig.model_validate(sensor("a", noise_std=0.0)))
    form, errors, mean_errors = run.loop.measurements.groups[0], [], []
    for tick in range(120):
        run.loop.run(num_ticks=1)
        fusion = form.fusion
        assert fusion is not None
        if tick > 50:
            truth = state.observe(tick * 50_000_000)
            errors.append(np.mean((fusion.state[:2] - truth) ** 2))
            mean = run.loop.fusion.predictor.last[:10].reshape(5, 2).mean(axis=0)
            mean_errors.append(np.mean((mean - truth) ** 2))
    error, mean_error = np.sqrt(np.mean(errors)), np.sqrt(np.mean(mean_errors))
    assert error < 0.5 * 0.3  # of one healthy source: 0.3
    assert error < 0.5 * mean_error
    np.testing.assert_array_equal(run.loop.trust.trust[:5], form.trust[:5])
    np.testing.assert_array_equal(run.loop.trust.nis[:5], form.nis[:5])
    assert form.trust[2] < 0.3 < 0.7 < min(np.delete(form.trust, 2))
    assert np.flatnonzero(run.loop.trust.is_stuck).tolist() == [2]
    last = reports.ticks[-1].facts.sources
    assert [each.name for each in last] == [*NAMES, "recall", "p"]
    estimate = last[-1]
    assert estimate.is_fresh
    assert estimate.is_judged
    assert estimate.trust > 0.7
    assert 0 < run.loop.senses.drivers[-1].statistics().noise_std < 0.3


def test_two_runs_have_equal_digests(start: Start, settings: Settings) -> None:
    digests = []
    for _ in range(2):
        run, reports = started(start, config(settings, sensor("c", faults=[FROZEN])))
        run.loop.run(num_ticks=50)
        digests.append([report.facts.digest() for report in reports.ticks])
    assert digests[0] == digests[1]


def test_evidence_outlives_a_restart(start: Start, settings: Settings, tmp_path: Path) -> None:
    made = config(settings, sensor("c", faults=[FROZEN]))
    old, _ = started(start, made)
    old.loop.run(num_ticks=90)
    save_snapshot(tmp_path / "kept", old.loop)
    young, _ = started(start, made)
    assert load_snapshot(tmp_path / "kept", young.loop).startswith("continued from tick 90")
    np.testing.assert_array_equal(young.loop.trust.trust[:5], old.loop.trust.trust[:5])
    young.loop.run(num_ticks=3)
    assert young.loop.measurements.groups[0].trust[2] < 0.5


def test_a_source_may_be_taken_away_and_come_back(start: Start, settings: Settings) -> None:
    run, reports = started(start, config(settings))
    run.loop.run(num_ticks=40)
    driver = run.loop.senses.drivers[1]
    assert driver.disable()
    run.loop.run(num_ticks=1)
    before = run.loop.measurements.groups[0].trust[1]
    run.loop.run(num_ticks=30)
    assert run.loop.measurements.groups[0].trust[1] == before
    assert reports.ticks[-1].facts.sources[-1].is_fresh
    assert driver.enable()
    run.loop.run(num_ticks=30)
    assert run.loop.measurements.groups[0].trust[1] > 0.7


def test_without_a_valid_source_there_is_no_reading_and_an_event(start: Start, settings: Settings) -> None:
    gone = {"at_secs": 2.0, "for_secs": 1.5, "fault": "nan", "size": 2.0}
    run, reports = started(start, config(settings, *(sensor(name, faults=[gone]) for name in NAMES)))
    run.loop.run(num_ticks=110)
    fresh = np.array([report.facts.sources[-1].is_fresh for report in reports.ticks])
    assert not fresh[42:70].any()
    assert fresh[80:].all()
    assert reports.messages("p") == ["no source is valid", "a source is valid again"]


def test_sources_that_are_faster_than_the_tick_are_silent_too(start: Start, settings: Settings) -> None:
    gone = {"at_secs": 1.0, "for_secs": 2.0, "fault": "nan", "size": 2.0}
    fast = [sensor(name, rate_hz=200, faults=[gone]) for name in NAMES]
    run, reports = started(start, config(settings, *fast))
    run.loop.run(num_ticks=200)
    assert reports.messages("p") == ["no source is valid", "a source is valid again"]


def test_a_pause_neither_ends_nor_begins_a_silence(start: Start, settings: Settings) -> None:
    gone = {"at_secs": 1.0, "for_secs": 60.0, "fault": "nan", "size": 2.0}
    clock = ManualClock()
    reports = Reports()
    made = config(settings, *(sensor(name, faults=[gone]) for name in NAMES))
    run = start(made, clock=clock, instruments=(reports,))
    run.loop.run(num_ticks=15)
    clock.advance(10**10)
    run.loop.tick()
    assert reports.messages("p") == []
    run.loop.run(num_ticks=60)
    assert reports.messages("p") == ["no source is valid"]
    clock.advance(10**10)
    run.loop.run(num_ticks=3)
    assert reports.messages("p") == ["no source is valid"]


def test_a_source_that_comes_later_and_claims_no_noise_is_left_out_with_one_event(
    start: Start, settings: Settings
) -> None:
    late = sensor("c", noise_std=0.0, faults=[{"at_secs": 0.0, "for_secs": 1.0, "fault": "raise"}])
    run, reports = started(start, config(settings, late))
    run.loop.run(num_ticks=200)
    assert reports.messages("c").count("left out: its readings claim no noise: give it noise_std") == 1
    trust = dict(zip(run.loop.measurements.groups[0].names, run.loop.measurements.groups[0].trust))
    assert trust["a"] > 0.7


def test_a_slow_source_and_a_late_one_are_fused(start: Start, settings: Settings) -> None:
    slow = sensor("d", rate_hz=4)
    run, reports = started(start, config(settings, slow, sensor("e", rate_hz=13)))
    run.loop.run(num_ticks=100)
    assert min(run.loop.measurements.groups[0].trust) > 0.7
    assert all(report.facts.sources[-1].is_fresh for report in reports.ticks[2:])


def test_readings_count_without_attention(start: Start, settings: Settings) -> None:
    run, _ = started(start, config(settings, attention={"top_k": 1}))
    run.loop.run(num_ticks=60)
    assert run.loop.measurements.groups[0].num_jumps == 0
    assert min(run.loop.measurements.groups[0].trust[:5]) > 0.82  # 0.81 without evidence


def test_surprise_has_the_degrees_of_freedom_of_readings_in_groups_alone(
    start: Start, settings: Settings
) -> None:
    run, _ = started(start, config(settings, {**sensor("a"), "name": "f", "shape": [4]}))
    names = [spec.name for spec in run.loop.layout.specs]
    found = dict(zip(names, run.loop.measurements.freedom.tolist()))
    assert found == {**dict.fromkeys(NAMES, 2), "f": 1, "recall": 1, "p": 1}


def test_a_run_without_groups_has_the_base_form_alone(start: Start, settings: Settings) -> None:
    run, _ = started(start, config(settings, measurements=[]))
    assert run.loop.measurements.in_use(run.loop.trust) is run.loop.trust
