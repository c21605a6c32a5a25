"""A real session as a service: commands, SIGHUP, SIGUSR1, and a hung tick that a supervisor restarts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage.app.cli.main import invoke
from sage.app.control.client import ask
from sage.app.terminal.errors import UserError

CONFIG = """\
name: small
tick: {rate_hz: 50, rest_rate_hz: 50}
model: {hidden_size: 16, num_heads: 2, H_cycles: 1, L_cycles: 1}
budget: {segments: 1}
practice: {enabled: false}
sleep: {enabled: false, every_secs: 600}
memory: {num_experiences: 32, num_recall: 32, num_transitions: 128}
sensors: [{kind: synthetic, name: one, shape: [2], rate_hz: 50}]
"""
WAIT_SECS = 120.0
pytestmark = pytest.mark.torch


class Managed:
    """A session under a service manager of the test's own: a notify socket."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "small.yaml"
        self.config.write_text(CONFIG)
        self.state_dir = folder / "state"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.socket.settimeout(WAIT_SECS)
        self.errors = folder / "stderr"
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self, *, watchdog_secs: float = 30.0, while_starting: tuple[signal.Signals, ...] = ()
    ) -> subprocess.Popen[bytes]:
        process = self.begin(watchdog_secs=watchdog_secs)
        for number in while_starting:
            self.until("STATUS=starting")
            process.send_signal(number)
        self.until("READY=1")
        return process

    def begin(self, *, watchdog_secs: float = 30.0) -> subprocess.Popen[bytes]:
        """Without waiting for anything."""
        command = [sys.executable, "-m", "sage", "run", str(self.config), "--no-live", "--json"]
        command += ["--state-dir", str(self.state_dir)]
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": self.socket.getsockname(),
            "WATCHDOG_USEC": str(int(watchdog_secs * 1e6)),
            "OMP_NUM_THREADS": "1",
        }
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors)
        return self.process

    def until(self, message: str) -> None:
        while self.socket.recv(4096).decode().partition("\n")[0] != message:
            pass

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.socket.close()


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[Managed]:
    made = Managed(tmp_path)
    yield made
    made.close()


def test_commands_and_signals_of_a_service(managed: Managed, capsys: pytest.CaptureFixture[str]) -> None:
    process = managed.start()
    place = str(managed.state_dir)
    assert ask(managed.state_dir, "status")["service"]["state"] == "running"

    assert invoke(["snapshot", place]) == 0
    assert "is on the disk" in capsys.readouterr().out
    with pytest.raises(UserError, match="night stop: no night is in progress"):
        ask(managed.state_dir, "night", action="stop")

    managed.config.write_text(CONFIG.replace("rate_hz: 50, rest", "rate_hz: 25, rest").replace("16", "32"))
    process.send_signal(signal.SIGHUP)
    managed.until("RELOADING=1")
    managed.until("READY=1")
    found = ask(managed.state_dir, "reload")  # the second one has nothing left to change
    assert found == {"changed": {}, "refused": ["model.hidden_size"]}
    managed.config.write_text("tick: {rate_hz: -1}\n")
    with pytest.raises(UserError, match="rate_hz"):
        ask(managed.state_dir, "reload")

    process.send_signal(signal.SIGUSR1)
    assert invoke(["stop", place, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["has_ended"]
    managed.until("STOPPING=1")
    output, _ = process.communicate(timeout=WAIT_SECS)
    assert process.returncode == 0
    assert json.loads(output)["ended_by"] == "sage stop"
    errors = managed.errors.read_text()
    assert "most recent call first" in errors  # the stacks
    assert "reload refused, the old configuration stays" in errors


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP])
def test_signals_while_a_service_starts_end_nothing(managed: Managed, number: signal.Signals) -> None:
    process = managed.start(while_starting=(number,))
    if number is signal.SIGHUP:
        managed.until("RELOADING=1")
        managed.until("READY=1")
    else:
        assert "most recent call first" in managed.errors.read_text()
    ask(managed.state_dir, "stop")
    process.communicate(timeout=WAIT_SECS)
    assert process.returncode == 0


EFFECTOR = """\
effectors: [{kind: recording, name: record}]
policy: {rules: [{decision: allow, effect: record, target: self, reason: it only records}]}
"""


def test_only_a_kill_after_the_effectors_were_opened_holds_them(managed: Managed) -> None:
    managed.config.write_text(CONFIG + EFFECTOR)
    process = managed.begin()
    marker = managed.state_dir / "running"
    while not marker.exists() or not marker.read_text():
        assert process.poll() is None
    assert marker.read_text() == f"{process.pid} starting\n"
    process.kill()
    process.communicate()
    process = managed.start()
    assert ask(managed.state_dir, "status")["held"] == {}
    process.kill()
    process.communicate()
    managed.start()
    assert list(ask(managed.state_dir, "status")["held"]) == ["record"]


def test_a_tick_every_hundred_seconds_delays_no_command_and_no_stop(managed: Managed) -> None:
    managed.config.write_text(
        CONFIG.replace("rate_hz: 50, rest_rate_hz: 50", "rate_hz: 0.01, rest_rate_hz: 0.01")
    )
    process = managed.start(watchdog_secs=4.0)
    for _ in range(3):
        managed.until("WATCHDOG=1")
    ask(managed.state_dir, "pause")
    assert ask(managed.state_dir, "status")["is_paused"]
    for _ in range(3):
        ask(managed.state_dir, "resume")
        ask(managed.state_dir, "pause")
    ask(managed.state_dir, "resume")
    ask(managed.state_dir, "snapshot")
    assert not ask(managed.state_dir, "status")["is_paused"]
    managed.config.write_text(CONFIG)
    ask(managed.state_dir, "reload")
    last = int(ask(managed.state_dir, "status")["tick"])
    while int(ask(managed.state_dir, "status")["tick"]) < last + 3:  # every 20 ms now
        managed.until("WATCHDOG=1")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.slow
def test_a_hung_tick_is_noticed_and_the_session_continues_after_a_restart(managed: Managed) -> None:
    process = managed.start(watchdog_secs=2.0)
    managed.until("WATCHDOG=1")
    ask(managed.state_dir, "snapshot")
    process.send_signal(signal.SIGSTOP)  # the tick hangs
    managed.socket.settimeout(2.0)
    with pytest.raises(TimeoutError):
        managed.until("nothing")
    process.kill()  # what systemd does then
    process.communicate()
    managed.socket.settimeout(WAIT_SECS)
    managed.start()
    assert "continued from tick" in managed.errors.read_text()
