"""The whole tick on made-up sources: equal digests, faults contained, learning and sleeping in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from sage.app.config.sage_config import SageConfig, build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.session.build import Run, build_run
from sage.mailbox.clock import ManualClock, RealClock
from sage.runtime.instruments import ReadingOf
from sage.runtime.lazy import LazyTuple
from sage.runtime.report import (
    Event,
    SleepOutcome,
    SleepReport,
    SourceFacts,
    State,
    TickFacts,
    TickReport,
)
from sage.sensors.contract import Action
from sage.sensors.effectors.recording import RecordingEffector

SECOND = 1_000_000_000


@dataclass
class Recorder:
    """Keeps everything it is given."""

    ticks: list[TickReport] = field(default_factory=list)
    sleeps: list[SleepReport] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def on_tick(self, report: TickReport) -> None:
        self.ticks.append(report)

    def on_sleep(self, report: SleepReport) -> None:
        self.sleeps.append(report)

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def source(self, name: str) -> list[SourceFacts]:
        return [
            next(source for source in report.facts.sources if source.name == name) for report in self.ticks
        ]

    def digests(self) -> list[str]:
        return [report.facts.digest() for report in self.ticks]


def config(
    num_sources: int = 3, faults: tuple[dict[str, object], ...] = (), **sections: object
) -> SageConfig:
    """`num_sources` views of one hidden state; the first has `faults`."""
    sensors: list[dict[str, object]] = [
        {
            "kind": "synthetic",
            "name": f"s{index}",
            "shape": [3],
            "rate_hz": 20,
            "seed": index,
            "backoff_secs": 0.2,
            "max_backoff_secs": 0.4,
        }
        for index in range(num_sources)
    ]
    sensors[0] |= {"faults": list(faults), "hang_secs": 0.3}
    sensors.append({"kind": "memory", "name": "recall"})
    data = {
        "sensors": sensors,
        "effectors": [{"kind": "recording", "name": "journal", "size": 2}],
        "policy": {"rules": [{"decision": "allow", "effect": "record"}]},
        "model": {"hidden_size": 32, "num_heads": 2},
        "sleep": {"enabled": False},
        "practice": {"enabled": False},
        "budget": {"segments": 1},
    } | sections
    return build_config(YamlDocument(data=data, source="test.yaml"))


@pytest.fixture
def live(tmp_path: Path) -> Callable[..., tuple[Run, Recorder]]:
    """Builds, opens and runs a loop on a manual clock; closes it after the test."""
    runs: list[Run] = []

    def start(settings: SageConfig, num_ticks: int, clock: ManualClock | None = None) -> tuple[Run, Recorder]:
        recorder = Recorder()
        run = build_run(
            settings, clock or ManualClock(), directory=tmp_path / "sleep", instruments=[recorder]
        )
        runs.append(run)
        run.open()
        run.loop.run(num_ticks=num_ticks)
        return run, recorder

    yield start
    for run in runs:
        run.close()


def test_two_runs_on_equal_input_have_equal_digests(live):
    learning = config(practice={"every_ticks": 8, "batch_size": 2})
    _, first = live(learning, 120)
    _, second = live(learning, 120)
    assert first.digests() == second.digests()
    assert len(set(first.digests())) == 120


def test_another_seed_gives_another_digest(live):
    practice = {"every_ticks": 8, "batch_size": 2}
    _, first = live(config(practice=practice), 60)
    _, second = live(config(practice=practice, seed=1), 60)
    assert first.digests()[-1] != second.digests()[-1]


def test_every_source_is_sensed_attended_and_predicted(live):
    _, recorder = live(config(), 100)
    for name in ("s0", "s1", "s2"):
        last = recorder.source(name)[-1]
        assert last.status == "running"
        assert last.is_fresh
        assert last.is_attended
        assert math.isfinite(last.error)
        assert 0.5 < last.trust < 1


def test_the_audit_reaches_every_source_beside_a_suspect(live):
    run, _ = live(config(), 1)
    num = run.loop.layout.num_sources
    assert num % 2 == 0, "the case that a rotation by ticks misses"
    trust = np.where(np.arange(num) == 3, 0.1, 0.9)
    audited = []
    for _ in range(4 * num):
        run.loop.tick_count += 1
        audited.append(run.loop._audited(np.ones(num, dtype=bool), trust))
    assert set(audited) == set(range(num))
    assert audited.count(3) > 2 * num


def slow(rate_hz: float) -> dict[str, float]:
    return {"rate_hz": rate_hz, "rest_rate_hz": rate_hz, "dream_rate_hz": rate_hz}


def test_slow_ticks_leave_windows_to_replay_and_to_examine(live):
    """A window of 16 ticks is longer than several blocks of a second."""
    sleep = {"enabled": False, "block_secs": 1, "examined_fraction": 0.2}
    run, _ = live(config(num_sources=2, tick=slow(4.0), sleep=sleep), 250)
    memory = run.loop.memory_writer.memory
    assert len(memory.replay)
    assert len(memory.examination)


def test_slow_ticks_are_no_gap_after_which_the_carry_is_reset(live):
    _, recorder = live(config(num_sources=2, tick=slow(0.1)), 8)
    assert recorder.ticks[-1].facts.learning.num_carry_resets == 0


def test_prediction_beats_persistence_on_a_smooth_world(live):
    _, recorder = live(config(), 400)
    sources = [
        source
        for report in recorder.ticks[200:]
        for source in report.facts.sources
        if math.isfinite(source.error)
    ]
    assert sum(s.error for s in sources) < 0.8 * sum(s.persistence_error for s in sources)


def test_every_lease_is_released_after_a_tick(live):
    run, _ = live(config(), 50)
    for mailbox in run.hub.snapshot().focus:
        assert mailbox.holders == ()
        assert mailbox.leaks_total == 0
        assert mailbox.bytes_copied == 0


def test_actions_pass_the_policy_and_what_was_done_comes_back(live):
    _, recorder = live(config(), 10)
    (action,) = recorder.ticks[-1].facts.actions
    assert action.decision == "allow"
    assert action.done == action.asked
    _, recorder = live(config(policy={"rules": []}), 10)
    (action,) = recorder.ticks[-1].facts.actions
    assert action.decision == "deny"
    assert action.is_held


def test_practice_lowers_its_loss_and_leaves_the_strategic_net_alone(live):
    settings = config(practice={"every_ticks": 4, "batch_size": 2}, budget={"segments": 2})
    run, _ = live(settings, 40)
    before = {name: weight.clone() for name, weight in run.loop.reasoner.model.named_parameters()}
    run.loop.run(num_ticks=60)
    assert run.loop.between_ticks.practice.num_steps > 12
    after = dict(run.loop.reasoner.model.named_parameters())
    assert all((after[name] == before[name]).all() for name in before if name.startswith("H_level"))
    assert any((after[name] != before[name]).any() for name in before if name.startswith("L_level"))


def test_a_night_is_examined_and_reported_with_numbers(live):
    sleep = {
        "enabled": True,
        "first_after_secs": 40,
        "every_secs": 1000,
        "num_steps": 10,
        "batch_size": 4,
        "examined_fraction": 0.2,
        "block_secs": 1,
    }
    run, recorder = live(config(sleep=sleep), 960)
    (report,) = recorder.sleeps
    assert report.outcome in (SleepOutcome.ACCEPTED, SleepOutcome.ROLLED_BACK, SleepOutcome.UNDECIDED)
    assert report.num_examined >= 64
    assert report.num_steps == 10
    assert math.isfinite(report.loss_before)
    assert math.isfinite(report.loss_persistence)
    states = {tick.facts.state for tick in recorder.ticks}
    assert State.DREAM in states
    assert run.loop.between_ticks.weights_version == (report.outcome is SleepOutcome.ACCEPTED)


def test_an_observer_of_readings_gets_those_of_each_tick_before_they_are_released(start, settings):
    @dataclass
    class Reader(Recorder):
        found: list[tuple[int, bool, list[float]]] = field(default_factory=list)

        def on_readings(self, facts: TickFacts, reading_of: ReadingOf) -> None:
            array = reading_of(0)
            values = [] if array is None else array.tolist()
            self.found.append((facts.tick, facts.sources[0].is_fresh, values))

    reader = Reader()
    start(settings(), instruments=(reader,)).loop.run(num_ticks=4)
    assert [tick for tick, _, _ in reader.found] == [1, 2, 3, 4]
    assert all(is_fresh == (len(values) == 2) for _, is_fresh, values in reader.found)
    assert len({tuple(values) for _, _, values in reader.found if values}) > 1


def test_an_instrument_that_raises_is_removed_and_the_loop_continues(tmp_path: Path):
    class Broken(Recorder):
        def on_tick(self, report: TickReport) -> None:
            raise RuntimeError("no display")

    good = Recorder()
    run = build_run(config(), ManualClock(), directory=tmp_path, instruments=[Broken(), good])
    try:
        run.open()
        run.loop.run(num_ticks=5)
    finally:
        run.close()
    assert len(good.ticks) == 5


def test_a_model_that_stays_not_finite_is_a_crisis_that_holds_effectors(live):
    run, _ = live(config(), 20)
    for parameter in run.loop.reasoner.model.parameters():
        parameter.data.fill_(math.nan)
    reason = run.loop.run(num_ticks=50)
    assert reason.startswith("crisis: the model's output is not finite")
    assert run.loop.between_ticks.state is State.CRISIS


@pytest.mark.parametrize("fault", [None, MemoryError("a tick failed")])
def test_effectors_are_held_when_a_run_ends(
    live, fault: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = live(config(), 5)
    journal = run.loop.effector_gate._drivers[0]
    assert not journal.owes_abort
    assert journal._effector._is_held
    tick = run.loop.tick

    def fails() -> TickReport:
        report = tick()
        assert not journal._effector._is_held
        if fault is not None:
            raise fault
        return report

    monkeypatch.setattr(run.loop, "tick", fails)
    if fault is None:
        run.loop.run(num_ticks=1)
    else:
        with pytest.raises(MemoryError):
            run.loop.run(num_ticks=1)
    assert journal._effector._is_held


def test_the_effectors_are_closed_first_and_whatever_else_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build_run(config(coherence={"window_ticks": 32}), ManualClock(), directory=tmp_path)
    run.open()
    loop, order = run.loop, []
    close = loop.effector_gate.close
    monkeypatch.setattr(loop.effector_gate, "close", lambda: (order.append("effectors"), close()))

    def fails(name: str) -> None:
        order.append(name)
        raise OSError(name)

    monkeypatch.setattr(loop._coherence_monitor, "close", lambda: fails("coherence"))
    monkeypatch.setattr(loop.between_ticks.sleeper, "abort", lambda: fails("night"))
    with pytest.raises(OSError, match="night"):
        run.close()
    assert order == ["effectors", "coherence", "night"]
    assert not loop.effector_gate._drivers[0]._effector._is_open


def during(recorder: Recorder, start_secs: float, stop_secs: float, name: str = "s0") -> list[SourceFacts]:
    rows = zip(recorder.ticks, recorder.source(name))
    return [
        source for report, source in rows if start_secs * SECOND <= report.facts.time_ns < stop_secs * SECOND
    ]


def fault(kind: str, size: float = 1.0) -> tuple[dict[str, object], ...]:
    return ({"at_secs": 10, "for_secs": 5, "fault": kind, "size": size},)


@pytest.mark.parametrize("kind", ["raise", "nan", "shape"])
def test_a_source_that_fails_is_quarantined_and_recovers(live, kind: str):
    _, recorder = live(config(faults=fault(kind)), 400)
    failing = during(recorder, 11, 14.5)
    assert "quarantined" in {source.status for source in failing}  # between two attempts to open it again
    assert not any(source.is_fresh for source in failing)
    assert failing[-1].num_faults > 0
    assert next(source.reason for source in failing if source.status == "quarantined")
    assert all(source.weight < 0.01 for source in failing)
    back = during(recorder, 18, 20)
    assert {source.status for source in back} == {"running"}
    assert any(source.is_fresh for source in back)
    assert any(
        event.kind == "source" and event.source == "s0" and "quarantined" in event.message
        for event in recorder.events
    )
    assert all(source.is_fresh for source in during(recorder, 11, 14.5, "s1"))


def test_a_stale_source_is_counted_has_no_weight_and_recovers(live):
    _, recorder = live(config(faults=fault("stale"), attention={"max_age_secs": 1.0}), 400)
    stale = during(recorder, 13, 14.9)
    assert not any(source.is_fresh for source in stale)
    assert stale[-1].num_duplicate + stale[-1].num_faults > 0
    assert all(source.weight < 0.01 for source in stale)
    assert any(source.is_fresh for source in during(recorder, 18, 20))


def test_a_frozen_source_is_distrusted_shown_and_trusted_again(live):
    _, recorder = live(config(faults=fault("frozen")), 600)
    frozen = during(recorder, 13, 15)
    assert frozen[-1].reason == "stuck"
    assert frozen[-1].trust < 0.4
    assert frozen[-1].trust < 0.6 * during(recorder, 14, 15, "s1")[-1].trust
    assert during(recorder, 28, 30)[-1].trust > 0.6
    begin, end = [event for event in recorder.events if event.kind == "replaced"]
    assert (begin.source, end.source) == ("s0", "s0")
    assert 200 <= begin.tick < 220
    assert 300 <= end.tick < 310


@pytest.mark.parametrize("kind", ["bias", "noise"])
def test_a_source_the_others_contradict_is_distrusted_and_trusted_again(live, kind: str):
    _, recorder = live(config(num_sources=5, faults=fault(kind, 6.0)), 700)
    wrong = during(recorder, 13, 15)
    assert wrong[-1].trust < 0.5
    assert min(during(recorder, 13, 15, f"s{index}")[-1].trust for index in range(1, 5)) > wrong[-1].trust
    assert during(recorder, 33, 35)[-1].trust > 0.6


def test_a_flood_is_limited_and_counted_while_it_lasts(live):
    run, recorder = live(config(faults=fault("flood", 200.0)), 400)
    assert sum(source.is_fresh for source in during(recorder, 11, 14)) > 0
    statistics = run.loop.senses.drivers[0].statistics()
    assert statistics.num_flooded > 100
    after = during(recorder, 18, 20)
    assert {source.status for source in after} == {"running"}
    assert all(source.is_fresh for source in during(recorder, 11, 14.5, "s1"))


def test_a_source_that_hangs_costs_its_own_readings_only(tmp_path: Path):
    """On the real clock: a hang is a thread that does not return."""
    recorder = Recorder()
    settings = config(
        faults=({"at_secs": 0.5, "for_secs": 1.0, "fault": "hang"},), practice={"enabled": False}
    )
    run = build_run(settings, RealClock(), directory=tmp_path, instruments=[recorder])
    try:
        run.open()
        run.loop.run(num_ticks=80)
    finally:
        run.close()
    statuses = [source.status for source in recorder.source("s0")]
    assert "quarantined" in statuses
    assert statuses[-1] == "running"
    assert recorder.source("s0")[-1].num_faults >= 1
    assert sum(source.is_fresh for source in recorder.source("s1")) > 60


def test_the_run_ends_when_every_recording_is_over(live):
    sensors = [
        {"kind": "synthetic", "name": "s", "shape": [2], "rate_hz": 20, "num_readings": 30},
        {"kind": "memory", "name": "recall"},
    ]
    _, recorder = live(config(sensors=sensors), 100)
    assert len(recorder.ticks) < 50
    assert recorder.source("s")[-1].status == "exhausted"


def test_facts_contain_no_tensor(live):
    _, recorder = live(config(), 30)

    def check(value: object) -> None:
        if hasattr(value, "__dataclass_fields__"):
            for name in value.__dataclass_fields__:
                check(getattr(value, name))
        elif isinstance(value, (tuple, LazyTuple)):
            for item in value:
                check(item)
        else:
            assert value is None or isinstance(value, (bool, int, float, str)), type(value)
            assert not isinstance(value, np.generic), type(value)

    check(recorder.ticks[-1].facts)


def test_a_late_effector_is_an_event_and_in_quarantine_while_the_loop_continues(live, monkeypatch):
    clock = ManualClock()
    apply = RecordingEffector.apply

    def late(self: RecordingEffector, values: np.ndarray, stamp_ns: int) -> Action:
        clock.advance(60_000_000)  # its limit is 50 ms
        return apply(self, values, stamp_ns)

    monkeypatch.setattr(RecordingEffector, "apply", late)
    _, recorder = live(config(), 20, clock)
    events = [event for event in recorder.events if event.source == "journal"]
    assert {event.message for event in events} == {"journal: apply has not returned within 0.05 s"}
    assert len(events) == 2  # one second: at once, and after the first pause of half a second
    assert all(report.facts.actions[0].is_held for report in recorder.ticks)
    assert "in quarantine" in recorder.ticks[1].facts.actions[0].reason
