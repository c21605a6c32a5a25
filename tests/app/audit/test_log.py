"""The audit log: written before an action is dispatched, append-only, bounded, and damage shows."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sage.app.audit.log import AuditLog
from sage.app.audit.reader import read_trail, segments
from sage.app.audit.text import as_text
from sage.mailbox.clock import ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.config import PolicyConfig, PolicyRule
from sage.runtime.report import State
from sage.runtime.tick.effector_gate import EffectorGate
from sage.runtime.tick.effects import EffectDecision, EffectOutcome
from sage.runtime.tick.policy import Policy, Situation
from sage.sensors.contract import Action, EffectorSpec, SensorError
from sage.sensors.limits import EffectorLimits, EffectorSettings

SPEC = EffectorSpec(
    name="arm",
    effect="motion",
    target="world",
    tensor=TensorSpec(shape=(2,)),
    low=(-1.0, -1.0),
    high=(1.0, 1.0),
)
MEGABYTE = 1 << 20


def decision(tick: int = 1, **changes: Any) -> EffectDecision:
    values: dict[str, Any] = {
        "spec": SPEC,
        "role": "model",
        "verdict": "allow",
        "reason": "a test",
        "values": np.array([0.5, np.nan]),
        "situation": Situation(state=State.WAKE, trust=0.5, tick=tick),
    }
    return EffectDecision(**{**values, **changes})


def outcome(tick: int = 1) -> EffectOutcome:
    return EffectOutcome(
        effector="arm", outcome="done", reason="", values=np.ones(2), limited_by=("slew",), tick=tick
    )


def test_rows_are_in_the_file_at_once_and_outcomes_with_the_next(tmp_path: Path):
    log = AuditLog(tmp_path / "audit", max_bytes=MEGABYTE)
    assert log.decided([decision(1)]) == ""
    log.ended(outcome(1))
    (row,) = read_trail(tmp_path / "audit").rows
    assert (row["event"], row["effector"], row["values"]) == ("approved", "arm", [0.5, None])
    log.decided([decision(2, verdict="deny")])
    events = [row["event"] for row in read_trail(tmp_path / "audit").rows]
    assert events == ["approved", "done", "denied"]
    log.ended(outcome(2))
    log.close()
    trail = read_trail(tmp_path / "audit")
    assert (trail.num_rows, trail.problems) == (4, ())
    assert "limited by slew" in as_text(trail.rows[1])
    assert "a test" in as_text(trail.rows[0])


def test_without_an_effector_nothing_is_created(tmp_path: Path):
    AuditLog(tmp_path / "audit", max_bytes=MEGABYTE).close()
    assert not (tmp_path / "audit").exists()


def test_the_chain_goes_on_in_the_next_run_and_over_files(tmp_path: Path):
    for _ in range(3):
        log = AuditLog(tmp_path, max_bytes=MEGABYTE, segment_bytes=2000)
        for tick in range(20):
            log.decided([decision(tick)])
        log.close()
    trail = read_trail(tmp_path)
    assert trail.problems == ()
    assert [row["n"] for row in trail.rows] == list(range(1, 61))
    assert len(segments(tmp_path)) > 3


def test_the_oldest_files_go_when_the_budget_is_spent(tmp_path: Path):
    log = AuditLog(tmp_path, max_bytes=8000)
    for tick in range(200):
        log.decided([decision(tick)])
    log.close()
    trail = read_trail(tmp_path)
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= 8000
    assert trail.problems == ()
    assert trail.rows[-1]["n"] == 200
    assert trail.rows[0]["n"] > 1


@pytest.mark.parametrize("num_cut", [1, 7, 100])
def test_a_torn_row_is_cut_off_and_the_chain_holds(tmp_path: Path, num_cut: int):
    log = AuditLog(tmp_path, max_bytes=MEGABYTE)
    for tick in range(3):
        log.decided([decision(tick)])
    log.close()
    (path,) = segments(tmp_path)
    os.truncate(path, path.stat().st_size - num_cut)
    log = AuditLog(tmp_path, max_bytes=MEGABYTE)
    log.decided([decision(9)])
    log.close()
    trail = read_trail(tmp_path)
    assert trail.problems == ()
    assert [row["tick"] for row in trail.rows] == [0, 1, 9]


def test_a_changed_a_removed_and_a_moved_row_show(tmp_path: Path):
    log = AuditLog(tmp_path, max_bytes=MEGABYTE)
    for tick in range(5):
        log.decided([decision(tick)])
    log.close()
    (path,) = segments(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    changed = lines[1].replace(b'"tick":1', b'"tick":7')
    for damaged in (
        [lines[0], changed, *lines[2:]],
        [lines[0], *lines[2:]],
        [lines[0], lines[2], lines[1], *lines[3:]],
        [lines[0], b"garbage\n", *lines[1:]],
    ):
        path.write_bytes(b"".join(damaged))
        assert read_trail(tmp_path).problems


def test_where_a_file_has_no_intact_row_another_one_is_begun(tmp_path: Path):
    (tmp_path / "00000001.jsonl").write_bytes(b"not a row\n")
    log = AuditLog(tmp_path, max_bytes=MEGABYTE)
    assert log.decided([decision()]) == ""
    log.close()
    assert [path.name for path in segments(tmp_path)] == ["00000001.jsonl", "00000002.jsonl"]
    assert (tmp_path / "00000001.jsonl").read_bytes() == b"not a row\n"


def test_a_full_disk_is_an_answer_and_leaves_no_torn_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = AuditLog(tmp_path, max_bytes=MEGABYTE)
    log.decided([decision(1)])
    log.ended(outcome(1))
    write = os.write

    def full(file: int, data: Any) -> int:
        if len(data) <= 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, bytes(data[:20]))

    monkeypatch.setattr(os, "write", lambda file, data: full(file, data) if len(data) > 20 else _raise())
    assert log.decided([decision(2)]) == "No space left on device"
    monkeypatch.undo()
    assert log.decided([decision(3)]) == ""
    log.close()
    trail = read_trail(tmp_path)
    assert trail.problems == ()
    assert [row["event"] for row in trail.rows] == ["approved", "done", "approved"]


def _raise() -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


class Arm:
    """Checks at each action that the log's file has the decision on it. script: what each call does."""

    def __init__(self, home: Path, script: list[str], clock: ManualClock) -> None:
        self.spec = SPEC
        self.applied: list[np.ndarray] = []
        self._home, self._script, self._clock = home, iter(script), clock
        self._is_held = True

    def open(self) -> None:
        self._is_held = False

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        newest = read_trail(self._home, last=1).rows[0]
        assert (newest["event"], newest["tick"]) == ("approved", stamp_ns)
        self.applied.append(values)
        what = next(self._script, "do")
        if what == "raise":
            raise SensorError("arm: jammed")
        if what == "late":
            self._clock.advance(1_000_000_000)
        return Action(spec=SPEC, values=values, stamp_ns=stamp_ns, is_held=self._is_held)

    def abort(self) -> None:
        self._is_held = True

    def close(self) -> None: ...


VALUE = st.one_of(st.floats(-3, 3), st.sampled_from([float("nan"), float("inf"), 1e30]))


@given(
    st.lists(st.tuples(VALUE, VALUE, st.sampled_from(State), st.booleans()), max_size=15),
    st.lists(st.sampled_from(["do", "raise", "late"]), max_size=15),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_action_reaches_an_effector_without_a_row(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], script: list[str]
):
    home = tmp_path_factory.mktemp("audit")
    clock = ManualClock()
    log = AuditLog(home, max_bytes=MEGABYTE)
    arm = Arm(home, script, clock)
    rules = (PolicyRule(decision="allow", states=("wake", "rest"), min_trust=0.5),)
    limits = EffectorSettings(limits=EffectorLimits(max_slew=(2.0, 2.0), low=(-0.5, -0.5), high=(0.5, 0.5)))
    policy = Policy(PolicyConfig(rules=rules))
    gate = EffectorGate([arm], policy, clock, settings={"arm": limits}, log=log)
    gate.open()
    for tick, (one, two, state, is_trusted) in enumerate(steps):
        situation = Situation(state=state, trust=float(is_trusted), tick=tick, now_ns=tick)
        gate.act(np.array([one, two], np.float32), situation)
        clock.advance(1_000_000_000)
    gate.close()
    log.close()
    trail = read_trail(home)
    assert trail.problems == ()
    decisions = [row for row in trail.rows if row["event"] in ("approved", "denied")]
    ends = [row for row in trail.rows if row["event"] not in ("approved", "denied")]
    assert [row["tick"] for row in decisions] == list(range(len(steps)))
    approved = [row["tick"] for row in decisions if row["event"] == "approved"]
    assert [row["tick"] for row in ends] == approved
    assert len(arm.applied) <= len(approved)
    for values in arm.applied:
        assert np.isfinite(values).all()
        assert (np.abs(values) <= 0.5).all()
    num_dispatched = sum(row["event"] in ("done", "failed", "timed out") for row in ends)
    num_held = sum(row["event"] == "held" for row in ends)
    assert num_dispatched <= len(arm.applied) <= num_dispatched + num_held


def test_where_the_log_cannot_be_written_nothing_is_dispatched(tmp_path: Path):
    (tmp_path / "audit").write_text("a file in its place")
    clock = ManualClock()
    log = AuditLog(tmp_path / "audit", max_bytes=MEGABYTE)
    arm = Arm(tmp_path, [], clock)
    policy = Policy(PolicyConfig(rules=(PolicyRule(decision="allow"),)))
    gate = EffectorGate([arm], policy, clock, log=log)
    gate.open()
    done, (fact,) = gate.act(np.ones(2, np.float32), Situation(state=State.WAKE, trust=1.0))
    assert (fact.decision, fact.is_held) == ("deny", True)
    assert "the audit log cannot be written" in fact.reason
    assert not arm.applied
    assert not done.any()


WRITER = """
import os, sys
from pathlib import Path
import numpy as np
from sage.app.audit.log import AuditLog
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.report import State
from sage.runtime.tick.effects import EffectDecision, EffectOutcome
from sage.runtime.tick.policy import Situation
from sage.sensors.contract import EffectorSpec

tensor = TensorSpec(shape=(1,))
spec = EffectorSpec(name="arm", effect="motion", target="world", tensor=tensor, low=(-1.0,), high=(1.0,))
log = AuditLog(Path(sys.argv[1]), max_bytes=1 << 22, segment_bytes=20_000)
dispatched = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
tick = int(sys.argv[3])
while True:
    tick += 1
    situation = Situation(state=State.WAKE, trust=1.0, tick=tick)
    decision = EffectDecision(
        spec=spec, role="model", verdict="allow", reason="", values=np.zeros(1), situation=situation
    )
    assert log.decided([decision]) == ""
    os.write(dispatched, f"{tick}\\n".encode())
    log.ended(EffectOutcome(effector="arm", outcome="done", reason="", values=None, limited_by=(), tick=tick))
"""


def test_after_kill_9_every_dispatched_action_has_its_row(tmp_path: Path):
    """Killed at random instants; the log goes on in the next process."""
    home, marks = tmp_path / "audit", tmp_path / "dispatched"
    generator = np.random.default_rng(0)
    for start in range(0, 3_000_000, 1_000_000):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(home), str(marks), str(start)]) as process:
            wanted = int(generator.integers(50, 500))
            while len(_marks(marks, start)) < wanted:
                assert process.poll() is None
                threading.Event().wait(0.005)
            process.kill()
    trail = read_trail(home)
    assert trail.problems == ()
    approved = {row["tick"] for row in trail.rows if row["event"] == "approved"}
    ended = {row["tick"] for row in trail.rows if row["event"] == "done"}
    for start in range(0, 3_000_000, 1_000_000):
        dispatched = _marks(marks, start)
        assert set(dispatched) <= approved
        assert len(set(dispatched) - ended) <= 2  # outcomes wait for the next decision


def _marks(path: Path, start: int) -> list[int]:
    text = path.read_text() if path.exists() else ""
    return [tick for line in text.splitlines() if start < (tick := int(line)) <= start + 1_000_000]
