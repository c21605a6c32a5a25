"""estop stops every effector at once, also while a tick hangs, and only arm ends it; pause and resume; a
session after a kill -9 starts held.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sage.app.audit.log import AuditLog
from sage.app.audit.reader import read_trail
from sage.app.cli.main import invoke
from sage.app.config.sage_config import build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.control import session_control
from sage.app.control.client import ask
from sage.app.control.hold import HoldFile
from sage.app.control.session_control import SessionControl
from sage.app.control.source_switch import SourceSwitch
from sage.app.session.build import Run, build_run
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import Clock, ManualClock, RealClock
from sage.runtime.loop import Loop
from sage.runtime.report import TickReport
from sage.sensors.effectors.recording import RecordingEffector

DATA: dict[str, Any] = {
    "name": "small",
    "tick": {"rate_hz": 100, "rest_rate_hz": 100},
    "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1},
    "budget": {"segments": 1},
    "practice": {"enabled": False},
    "sleep": {"enabled": False},
    "memory": {"num_experiences": 32, "num_recall": 32, "num_transitions": 128},
    "sensors": [{"kind": "synthetic", "name": "one", "shape": [2], "rate_hz": 100}],
    "effectors": [{"kind": "recording", "name": name, "timeout_secs": 10} for name in ("left", "right")],
    "policy": {"rules": [{"decision": "allow"}]},
}


@dataclass
class Session:
    """A run with its control, and the tick reports so far."""

    run: Run
    control: SessionControl
    state_dir: Path
    audit: AuditLog
    reports: list[TickReport]

    @property
    def loop(self) -> Loop:
        return self.run.loop

    @property
    def effectors(self) -> list[RecordingEffector]:
        return [driver._effector for driver in self.loop.effector_gate._drivers]

    @property
    def num_done(self) -> int:
        return sum(not each.done.is_held for effector in self.effectors for each in effector.actions)

    def decisions(self) -> list[str]:
        return [fact.decision for fact in self.reports[-1].facts.actions]

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        return self.control.verbs[verb](fields)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Session]]:
    sessions: list[Session] = []

    def build(clock: Clock) -> Session:
        audit = AuditLog(tmp_path / "audit", max_bytes=1 << 20)
        config = build_config(YamlDocument(data=DATA, source="test.yaml"))
        run = build_run(config, clock, directory=tmp_path / "sleep", effect_log=audit)
        control = SessionControl(run.loop, HoldFile(tmp_path), audit, about={"name": "small", "sage": "0"})
        session = Session(run, control, tmp_path, audit, [])
        sessions.append(session)
        return session

    yield build
    for session in sessions:
        session.run.close()
        session.audit.close()


class Watch:
    """An instrument that keeps reports and calls `at` for each."""

    def __init__(self, session: Session, at: Callable[[int], None] = lambda tick: None) -> None:
        self._session, self._at = session, at

    def on_tick(self, report: TickReport) -> None:
        self._session.reports.append(report)
        self._at(report.facts.tick)

    def on_sleep(self, report: object) -> None: ...

    def on_event(self, event: object) -> None: ...


def opened(session: Session, at: Callable[[int], None] = lambda tick: None) -> Session:
    session.run.open()
    session.loop.observe(session.control, Watch(session, at))
    return session


def test_estop_stops_every_effector_while_a_tick_hangs(begin, monkeypatch: pytest.MonkeyPatch):
    session = opened(begin(RealClock()))
    session.loop.run(num_ticks=5)
    assert session.num_done == 10
    hangs, goes_on = threading.Event(), threading.Event()
    sense = session.loop.senses.sense

    def hang(now_ns: int) -> None:
        hangs.set()
        assert goes_on.wait(60)
        sense(now_ns)

    monkeypatch.setattr(session.loop.senses, "sense", hang)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(session.loop.run, num_ticks=10)
        assert hangs.wait(60)
        result = session.ask("estop", reason="smoke")
        assert result == {"stopped": ["left", "right"], "failed": {}, "problem": ""}
        assert all(effector._is_held for effector in session.effectors)
        assert session.ask("status")["held"] == {name: "estop: smoke" for name in ("left", "right")}
        goes_on.set()
        assert running.result(60) == "ticks"
    assert session.num_done == 10
    assert session.decisions() == ["deny", "deny"]
    assert session.reports[-1].facts.actions[0].reason == "stopped: estop: smoke"
    assert any(row["event"] == "estop" for row in read_trail(session.state_dir / "audit").rows)
    assert "effectors are held: estop: smoke" in session.control.notices()[0]


def test_no_action_begins_after_estop_has_returned(begin):
    """Asked for from another thread at some instant of a running loop."""
    session = opened(begin(RealClock()))
    with ThreadPoolExecutor() as pool:
        running = pool.submit(session.loop.run, num_ticks=40)
        while session.num_done < 20:
            threading.Event().wait(0.001)
        session.ask("estop")
        num_done = session.num_done
        running.result(60)
    assert session.num_done - num_done <= 2  # those that had begun when it was asked for
    assert session.decisions() == ["deny", "deny"]


def test_only_arm_ends_an_estop(begin):
    clock = ManualClock()
    session = opened(begin(clock))
    session.loop.run(num_ticks=3)
    session.ask("estop")
    session.loop.run(num_ticks=200)
    assert session.num_done == 6
    clock.advance(5_000_000_000)  # a crisis lasts so long at least
    with ThreadPoolExecutor() as pool:
        armed = pool.submit(session.ask, "arm")
        while not armed.done():
            session.loop.run(num_ticks=1)
        assert armed.result() == {"armed": ["left", "right"]}
    session.loop.run(num_ticks=2)
    assert session.decisions() == ["allow", "allow"]
    assert session.num_done > 6
    assert HoldFile(session.state_dir).read() is None
    assert session.control.notices() == ()
    events = [row["event"] for row in read_trail(session.state_dir / "audit").rows]
    assert events.index("estop") < events.index("armed")


def test_an_estop_during_arm_wins(begin, monkeypatch: pytest.MonkeyPatch):
    session = opened(begin(ManualClock()))
    session.ask("estop")
    hold_all = session.loop.effector_gate.hold_all
    hand = ThreadPoolExecutor()

    def again() -> None:
        hold_all()
        monkeypatch.undo()
        hand.submit(session.ask, "estop")
        while session.loop.effector_gate.num_stops < 2:
            threading.Event().wait(0.001)

    monkeypatch.setattr(session.loop.effector_gate, "hold_all", again)
    with hand:
        armed = hand.submit(session.ask, "arm")
        while not armed.done():
            session.loop.run(num_ticks=1)
        with pytest.raises(UserError, match="stopped again meanwhile"):
            armed.result()
    session.loop.run(num_ticks=2)
    assert session.decisions() == ["deny", "deny"]
    assert HoldFile(session.state_dir).read() is not None


def test_arm_while_a_tick_hangs_does_nothing(begin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session_control, "TICK_SECS", 0.01)
    session = opened(begin(ManualClock()))
    session.ask("estop")
    with pytest.raises(UserError, match="nothing was done"):
        session.ask("arm")
    session.loop.run(num_ticks=2)
    assert session.decisions() == ["deny", "deny"]
    assert HoldFile(session.state_dir).read() is not None


def test_an_effector_that_does_not_stop_is_named(begin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session_control, "ABORT_SECS", 0.01)
    session = opened(begin(RealClock()))
    stuck = threading.Event()
    monkeypatch.setattr(session.effectors[0], "abort", lambda: stuck.wait(60))
    monkeypatch.setattr(session.effectors[1], "abort", lambda: 1 / 0)
    failed = session.ask("estop")["failed"]
    stuck.set()
    assert failed["left"] == "abort has not returned within 0.01 s"
    assert "division by zero" in failed["right"]


def test_where_the_hold_cannot_be_stored_the_effectors_stop_all_the_same(
    begin, monkeypatch: pytest.MonkeyPatch
):
    session = opened(begin(ManualClock()))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(session.control._hold_file, "write", full)
    assert "does not outlast a restart: No space left" in session.ask("estop")["problem"]
    session.loop.run(num_ticks=2)
    assert session.decisions() == ["deny", "deny"]


def test_pause_holds_effectors_and_stops_ticks_until_resume(begin):
    session = opened(begin(RealClock()))
    with ThreadPoolExecutor() as pool:
        running = pool.submit(session.loop.run)
        assert session.ask("pause") == {"has_changed": True}
        assert session.ask("pause") == {"has_changed": False}
        num_ticks, num_done = len(session.reports), session.num_done
        assert all(effector._is_held or not effector.actions for effector in session.effectors)
        assert session.ask("status")["is_paused"]
        assert session.control.notices() == ("paused: run `sage resume`",)
        assert (len(session.reports), session.num_done) == (num_ticks, num_done)
        assert session.ask("resume") == {"has_changed": True}
        assert session.ask("resume") == {"has_changed": False}
        while session.num_done <= num_done:
            threading.Event().wait(0.001)
        session.loop.stop("test")
        assert running.result(60) == "test"
    assert session.reports[-1].facts.sources[0].status == "running"


def test_a_paused_replay_stands_still(begin):
    session = opened(begin(ManualClock()))
    with ThreadPoolExecutor() as pool:
        running = pool.submit(session.loop.run)
        session.ask("pause")
        now_ns = session.loop.clock.now_ns()
        assert session.ask("status")["is_paused"]
        assert session.loop.clock.now_ns() == now_ns
        session.loop.stop("test")
        assert running.result(60) == "test"


def test_after_a_crash_answers_go_on_and_all_else_is_held(begin):
    session = begin(ManualClock())
    session.control.hold(HoldFile(session.state_dir).write("crash", "the last session did not end cleanly"))
    opened(session)
    session.loop.run(num_ticks=3)
    assert session.decisions() == ["deny", "deny"]
    assert "run `sage arm`" in session.reports[-1].facts.actions[0].reason
    assert not any(effector._is_open for effector in session.effectors)


def ticks_of(state_dir: Path) -> int:
    """0 while no session answers."""
    try:
        return int(ask(state_dir, "status")["tick"])
    except UserError:
        return 0


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """`sage run` in a process of its own; returns once its control socket answers after a tick."""
    config = tmp_path / "small.yaml"
    config.write_text(json.dumps(DATA))
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sage",
                "run",
                str(config),
                "--no-live",
                "--state-dir",
                str(tmp_path / "s"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        while process.poll() is None:
            if ticks_of(tmp_path / "s") > 2:
                return process
            threading.Event().wait(0.05)
        raise AssertionError(process.communicate()[1])

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_after_kill_9_effectors_are_held_until_a_person_arms(launch, tmp_path: Path, capsys):
    state_dir = str(tmp_path / "s")
    first = launch()
    assert invoke(["status", state_dir, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["held"] == {}
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = launch()
    assert invoke(["status", state_dir]) == 0
    assert "left: held: the last session did not end cleanly" in capsys.readouterr().out
    assert invoke(["arm", state_dir]) == 0
    assert capsys.readouterr().out == "armed: left, right\n"
    assert invoke(["estop", state_dir, "--reason", "a test"]) == 0
    assert capsys.readouterr().out == "stopped: left, right\n"
    second.terminate()
    assert second.wait(60) == 0
    third = launch()
    assert "estop: a test" in ask(tmp_path / "s", "status")["held"]["left"]
    assert invoke(["arm", state_dir]) == 0
    third.terminate()
    assert third.wait(60) == 0
    assert invoke(["audit", state_dir, "--last", "1000"]) == 0
    printed = capsys.readouterr().out
    for event in ("approved", "done", "denied", "held", "armed", "estop"):
        assert f"  {event}" in printed


def test_a_source_is_disabled_and_enabled_while_the_loop_runs(begin):
    """Between two ticks; the report shows it, and the loop goes on without the source."""
    session = begin(ManualClock())
    verbs = SourceSwitch(session.loop, session.control).verbs
    seen: list[tuple[str, bool]] = []
    results: list[dict[str, Any]] = []

    def at(tick: int) -> None:
        source = session.reports[-1].facts.sources[0]
        seen.append((source.status, source.is_fresh))
        if tick == 5:
            pool.submit(lambda: results.append(verbs["disable_source"]({"name": "one"})))
            assert asked(1)
        if tick == 10:
            pool.submit(lambda: results.append(verbs["enable_source"]({"name": "one"})))
            assert asked(1)

    def asked(num: int) -> bool:
        """Whether so many requests wait for the end of the tick."""
        queue = session.loop.control._asked
        for _ in range(10_000):
            if queue.qsize() >= num:
                return True
            threading.Event().wait(0.001)
        return False

    opened(session, at)
    with ThreadPoolExecutor() as pool:
        session.loop.run(num_ticks=20)
    assert {status for status, _ in seen[1:5]} == {"running"}
    assert seen[6:9] == [("disabled", False)] * 3
    assert seen[-1] == ("running", True)
    assert [result["has_changed"] for result in results] == [True, True]
    assert results[0]["status"] == "disabled"
    events = [event.message for report in session.reports for event in report.facts.events]
    assert {"one disabled", "one enabled", "running -> disabled"} <= set(events)
    with pytest.raises(UserError, match=r"two: no source of this session: .*one"):
        verbs["disable_source"]({"name": "two"})
