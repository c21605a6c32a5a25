"""configs/groot.yaml with `sage groot serve`: the arm follows a server, which dies and comes back."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.app.groot.reach_policy import ReachPolicy
from sage.errors import InputError
from sage.gr00t_integration.embodiment import load_embodiment
from sage.gr00t_integration.observation import Observation
from sage.sensors.environments.mujoco import arm

LIMIT_SECS = 150.0


def observation(q: Any, goal: Any) -> Observation:
    target = arm.to_hand(goal - arm.tip_of(q), float(q[0]))
    state = {"joints": q, "target": target}
    return Observation(
        video={"camera": np.zeros((1, 1, 64, 64, 3), np.uint8)},
        state={name: np.asarray(each, np.float32)[None, None] for name, each in state.items()},
        language={"annotation.human.task_description": [["reach the red ball"]]},
    )


def test_the_policy_reaches_by_what_it_observes() -> None:
    policy = ReachPolicy(load_embodiment("sage_arm"), step_angle=0.1)
    goal, q = arm.tip_of(np.array([0.6, 0.9, -1.2])), arm.HOME.copy()
    for _ in range(6):
        chunk = policy.act(observation(q, goal))["joint_speeds"][0]
        assert chunk.shape == (8, 3)
        assert np.abs(chunk).max() <= 1
        for speeds in chunk[:4]:
            q = np.clip(q + 0.1 * speeds, arm.JOINT_LOW, arm.JOINT_HIGH)
    assert np.linalg.norm(goal - arm.tip_of(q)) < 0.01
    with pytest.raises(InputError, match="--embodiment sage_arm"):
        ReachPolicy(load_embodiment("so100"), step_angle=0.1)


class Rig:
    """The documented commands, in processes. rows: of the audit log, as far as it is written."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._state = folder / "state"
        self.server = self.serve("0")
        self.address = self.server.line.split()[1]
        command = [sys.executable, "-m", "sage", "run", str(config), "--seconds", "300", "--no-live"]
        command += ["--set", f"sensors.policy.address={self.address}", "--state-dir", str(self._state)]
        self.run = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def serve(self, port: str) -> Any:
        command = [sys.executable, "-m", "sage", "groot", "serve", "--port", port]
        command += ["--embodiment", "sage_arm", "--policy", "reach"]
        process: Any = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        process.line = process.stderr.readline()
        return process

    def rows(self) -> list[str]:
        files = sorted((self._state / "audit").glob("*")) if self._state.exists() else []
        return [line for file in files for line in file.read_text(errors="replace").splitlines()]

    def until(self, is_met: Callable[[list[str]], bool]) -> list[str]:
        pause, left = threading.Event(), LIMIT_SECS
        while not is_met(rows := self.rows()):
            assert left > 0, rows[-3:]
            assert self.run.poll() is None, self.run.communicate()
            pause.wait(0.25)
            left -= 0.25
        return rows

    def close(self) -> None:
        for process in (self.server, self.run):
            process.kill()
            process.communicate()


def done(rows: list[str]) -> list[str]:
    return [row for row in rows if '"event":"done"' in row]


def moves(rows: list[str]) -> list[str]:
    return [row for row in done(rows) if "[0.0,0.0,0.0]" not in row]


def rests(rows: list[str]) -> list[str]:
    return [row for row in done(rows) if "[0.0,0.0,0.0]" in row]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_arm_follows_the_server_and_rests_without_it(tmp_path: Path, repository: Path) -> None:
    pytest.importorskip("mujoco", reason="the extra robot is not installed")
    rig = Rig(tmp_path, repository / "configs" / "groot.yaml")
    try:
        rig.until(lambda rows: len(moves(rows)) > 60)
        rig.server.kill()
        rig.server.communicate()
        before = len(rig.rows())
        rig.until(lambda rows: len(rests(rows[before:])) > 60 and not moves(rows[-20:]))  # and it ticks on
        rig.server = rig.serve(rig.address.rpartition(":")[2])
        before = len(rig.rows())
        rows = rig.until(lambda rows: len(moves(rows[before:])) > 30)
        approved = [row for row in rows if '"event":"approved"' in row]
        assert len(approved) >= len(done(rows)) > 150
        rig.run.send_signal(signal.SIGTERM)
        out, err = rig.run.communicate(timeout=60)
        assert rig.run.returncode == 0, err
        assert "Traceback" not in out + err
    finally:
        rig.close()
