"""The live server for rerun: on this machine only, and a session that does not wait for it."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from sage.app.cli.main import invoke
from sage.app.recording import rerun_sink
from sage.app.recording.items import Log
from sage.app.recording.messages import Messages
from sage.app.recording.rerun_sink import RerunServer
from sage.app.terminal.errors import UserError
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.report import Event
from sage.sensors.contract import SensorSpec

pytest.importorskip("rerun", reason="pip install 'sage-runtime[rerun]'")
pytest.importorskip("mcap", reason="pip install 'sage-runtime[recording]'")

START_NS = 1_700_000_000_000_000_000
SPEC = SensorSpec(
    name="imu",
    modality="physical",
    tensor=TensorSpec(shape=(2,)),
    period_ns=10,
    observes=("acceleration", "m/s^2"),
)
SMALL = (
    "name: small\nmodel: {hidden_size: 16, num_heads: 2, H_cycles: 1, L_cycles: 1}\n"
    "budget: {segments: 1}\nsleep: {enabled: false}\npractice: {enabled: false}\n"
    "sensors: [{kind: synthetic, name: one, shape: [4], rate_hz: 20}]\n"
)


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_only_loopback_is_bound_and_a_taken_port_is_one_line() -> None:
    server = RerunServer(0)
    try:
        assert server.address == f"rerun+http://127.0.0.1:{server.port}/proxy"
        assert _listening(server.port) == {"0100007F"}
        with pytest.raises(UserError, match=r"^--rerun \d+: address already in use: give another port"):
            RerunServer(server.port)
    finally:
        server.close({})
        server.close({})
    deadline = time.monotonic() + 30  # rerun ends its server in a thread of its own
    while _listening(server.port):
        assert time.monotonic() < deadline, f"port {server.port} is still listened on"
        time.sleep(0.01)


def _listening(port: int) -> set[str]:
    """Addresses on which the port is listened on, in the kernel's notation."""
    found = set()
    for name in ("tcp", "tcp6"):
        table = Path("/proc/net") / name
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            address, number = line.split()[1].split(":")
            if int(number, 16) == port and line.split()[3] == "0A":
                found.add(address)
    return found


class _Stopped:
    """A stream whose server takes nothing, as with a viewer that does not read."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.is_stopped = True

    def flush(self, *, timeout_sec: float) -> None:
        if self.is_stopped:
            raise RuntimeError("flush timed out")
        self._stream.flush(timeout_sec=timeout_sec)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def test_a_viewer_that_does_not_read_costs_messages_and_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerun_sink, "MAX_WAITING_BYTES", 1000)
    monkeypatch.setattr(rerun_sink, "TAKEN_SECS", 0.0)
    server = RerunServer(0)
    try:
        server.begin(START_NS)
        stream = _Stopped(server._stream)
        messages = Messages(server, [SPEC], epoch_ns=0, start_ns=START_NS, loop_epoch_ns=0, jpeg=False)
        server._stream = stream
        for _ in range(50):
            messages.write(Log(Event(kind="fault", tick=4, message="x" * 100), 30))
        assert messages.num_written < 10
        assert messages.num_written + server.num_left_out == 50
        stream.is_stopped = False
        messages.write(Log(Event(kind="fault", tick=4), 30))
        assert messages.num_written + server.num_left_out == 51
        assert server.wants(0)
    finally:
        server.close({})


def test_a_session_is_served_and_changes_no_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    state = ["--no-live", "--json", "--state-dir", str(tmp_path / "state")]
    recorded = tmp_path / "run.mcap"
    run = ["run", str(tmp_path / "small.yaml"), "--fast", "--ticks", "20", "--record", str(recorded)]
    assert invoke([*run, *state, "--rerun", "0"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["rerun"]["num_messages"] > 20
    assert found["rerun"]["num_dropped"] == 0
    assert found["rerun"]["address"] in captured.err
    assert invoke(["replay", str(recorded), *state]) == 0
    assert json.loads(capsys.readouterr().out)["replay"]["num_equal"] == 20
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert invoke([*run, *state, "--rerun", str(other.getsockname()[1])]) == 2
        assert "give another port" in capsys.readouterr().err.splitlines()[-1]


def test_a_missing_package_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    (tmp_path / "small.yaml").write_text(SMALL)
    state = ["--no-live", "--state-dir", str(tmp_path / "state")]
    assert invoke(["run", str(tmp_path / "small.yaml"), "--ticks", "1", "--rerun", "0", *state]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "--rerun needs the package rerun-sdk" in line
    assert line.endswith("pip install 'sage-runtime[rerun]'")
