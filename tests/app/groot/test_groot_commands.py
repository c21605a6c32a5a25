"""`sage groot`: a server in a process of its own, checked by the command; wrong input is one line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.app.cli.main import invoke
from sage.gr00t_integration.dataset.writer import DatasetWriter
from sage.gr00t_integration.embodiment import load_embodiment


class Served:
    """`sage groot serve` in a process."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "sage", "groot", "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd="/")
        assert self.process.stderr is not None
        self.line = self.process.stderr.readline()
        self.address = self.line.split()[1] if " " in self.line else ""

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def serve() -> Iterator[Any]:
    started: list[Served] = []

    def start(*arguments: str) -> Served:
        started.append(Served(*arguments))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait(20)


@pytest.mark.parametrize("dialect", ["n1.5", "openpi"])
def test_a_server_is_checked_and_ends_with_a_signal(dialect: str, serve: Any, capsys: Any) -> None:
    served = serve("--dialect", dialect, "--embodiment", "libero")
    assert "not a trained model" in served.line
    assert invoke(["groot", "check", served.address, "--embodiment", "libero", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["horizon"], facts["size"], facts["is_within"]) == (16, 7, True)
    assert invoke(["groot", "check", served.address, "--embodiment", "libero"]) == 0
    assert f"{served.address}: good: " in capsys.readouterr().out
    assert served.end() == 128 + signal.SIGTERM


def test_a_check_with_another_embodiment_or_token_fails_in_one_line(
    serve: Any, capsys: Any, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("right\n")
    served = serve("--api-token-file", str(tmp_path / "token"))
    for arguments, said in (
        (["--embodiment", "so100"], "Unauthorized: Invalid API token"),
        (["--embodiment", "gr1", "--api-token-file", str(tmp_path / "token")], "not the embodiment gr1"),
    ):
        assert invoke(["groot", "check", served.address, *arguments]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    served.end()


RECORD = ["record", "robot", "--out", "/nowhere/x", "--state", "b=c", "--effector", "x", "--seconds", "1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--embodiment", "fish"], "give a YAML file or one of droid"),
        (["serve", "--dialect", "n9"], "give one of n1.5"),
        (["serve", "--target", "a,b"], "give numbers with commas"),
        (["serve", "--target", "1,2"], "give 6 finite ones"),
        (["serve", "--api-token-file", "/nowhere/token"], "/nowhere/token: no such file"),
        (["serve", "--dialect", "openpi", "--allow-kill"], "leave it out"),
        (["serve", "--host", "192.0.2.1"], "give another --host or --port"),
        (["check", "localhost"], "give tcp://HOST:PORT or ws://HOST:PORT"),
        (["check", "tcp://127.0.0.1:9", "--timeout", "0.05"], "no answer within 0.05 s"),
        (["check", "ws://127.0.0.1:9"], "start the server"),
        (["check", "ws://127.0.0.1:99999"], "give ws://HOST:PORT"),
        ([*RECORD, "--video", "a", "--task", "t"], "--video a: give KEY=SOURCE"),
        ([*RECORD, "--video", "a=b", "--task", " "], "--task: empty"),
        (["check", "tcp://127.0.0.1:9", "--timeout", "inf"], "less than or equal to 3600"),
        (["serve", "--dialect", "openpi", "--host", ""], "host is empty"),
    ],
)
def test_wrong_input_is_one_line(arguments: list[str], said: str, capsys: Any) -> None:
    assert invoke(["groot", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_data_set_is_checked_and_replayed(serve: Any, capsys: Any, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="pip install 'sage-runtime[sensors]'")
    pytest.importorskip("pyarrow", reason="pip install 'sage-runtime[parquet]'")
    image = np.zeros((32, 48, 3), dtype=np.uint8)
    writer = DatasetWriter(tmp_path / "data", load_embodiment("so100"), fps=10)
    for step in range(6):
        writer.add({"front": image, "wrist": image}, np.zeros(6), np.full(6, float(step)))
    writer.end_episode("pick up the cube")
    writer.close()
    folder = str(tmp_path / "data" / "v2.1")
    assert invoke(["groot", "check", folder, "--embodiment", "so100"]) == 0
    assert "v2.1, fits so100" in capsys.readouterr().out
    assert invoke(["groot", "check", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_frames"] == 6
    served = serve("--dataset", folder)
    assert "replay of v2.1, 1 episodes" in served.line
    assert invoke(["groot", "check", served.address]) == 0
    (tmp_path / "data/v2.1/meta/tasks.jsonl").unlink()
    capsys.readouterr()
    assert invoke(["groot", "check", folder]) == 2
    assert "tasks.jsonl: missing" in capsys.readouterr().err


RUN = """
name: recorded
tick: {rate_hz: 10}
model: {hidden_size: 16, num_heads: 2}
sensors:
  - {kind: video, name: camera, lavfi: "testsrc2=size=64x48:rate=10"}
  - {kind: synthetic, name: joints, shape: [6], rate_hz: 10}
effectors:
  - {kind: recording, name: arm, size: 6}
policy:
  rules:
    - {decision: allow, effect: record, target: self}
"""
SOURCES = [
    "--video", "front=camera", "--video", "wrist=camera", "--state", "single_arm=joints[0:5]",
    "--state", "gripper=joints[5:6]", "--task", "wave", "--seconds", "1.5", "--fast",
]  # fmt: skip


def test_a_run_is_recorded_in_both_layouts(capsys: Any, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="pip install 'sage-runtime[sensors]'")
    pytest.importorskip("pyarrow", reason="pip install 'sage-runtime[parquet]'")
    (tmp_path / "run.yaml").write_text(RUN)
    run, out = str(tmp_path / "run.yaml"), str(tmp_path / "data")
    assert invoke(["groot", "record", run, "--out", out, "--effector", "arm", *SOURCES, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["num_episodes"] == 1
    assert facts["num_frames"] >= 8
    for version in ("v2.1", "v3.0"):
        assert invoke(["groot", "check", f"{out}/{version}", "--embodiment", "so100", "--json"]) == 0
        checked = json.loads(capsys.readouterr().out)
        assert (checked["num_frames"], checked["tasks"]) == (facts["num_frames"], ["wave"])
    for more, said in (
        (["--effector", "arm"], "not empty: give a new folder"),
        (["--effector", "leg", "--out", f"{out}2"], "--effector leg:"),
        (["--effector", "arm", "--out", f"{out}3", "--video", "front=cam"], "there is no source cam"),
        (["--effector", "arm", "--out", f"{out}4", "--state", "gripper"], "give KEY=SOURCE"),
    ):
        assert invoke(["groot", "record", run, "--out", out, *SOURCES, *more]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_the_shipped_embodiments_are_listed(capsys: Any) -> None:
    assert invoke(["groot", "embodiments"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "droid", "g1_sim", "gr1", "libero", "sage_arm", "so100",
    ]  # fmt: skip
