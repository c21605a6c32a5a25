"""`sage bridge`: sources of one process seen in another, and bad input in one line."""

from __future__ import annotations

import os
import socket
import sys
import threading
import uuid
from pathlib import Path

import numpy as np
import pytest
import yaml

from sage.app.bridge.receiving import MailboxReceiver
from sage.app.bridge.serving import Bridge, BridgeOptions
from sage.app.bridge.text import entries, mirror_text, totals_text
from sage.app.cli.main import invoke
from sage.app.config.registry import Plugin, plugins
from sage.app.config.sage_config import load_config
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import RealClock
from sage.mailbox.shared import SharedPeripheral
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Reading, SensorContext, SensorSpec
from sage.sensors.remote.remote_sensor import RemoteConfig, RemoteSensor
from sage.sensors.remote.wire import describe
from tests.app.bridge.burst import BurstSensor

pytest.importorskip("zenoh")


@pytest.fixture
def endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp/127.0.0.1:{probe.getsockname()[1]}"


def test_what_is_served_is_listed_as_a_configuration_that_runs(
    endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "desk.yaml"
    config.write_text("name: desk\nsensors: [{kind: synthetic, name: field, shape: [4], rate_hz: 50}]\n")
    bridge = Bridge(load_config(config), BridgeOptions(host="desk", listen=(endpoint,)))
    totals = []
    thread = threading.Thread(target=lambda: totals.extend(bridge.run(120.0)))
    thread.start()
    try:
        assert invoke(["bridge", "list", endpoint]) == 0
        printed = capsys.readouterr().out
        (entry,) = yaml.safe_load(printed)["sensors"]
        assert (entry["kind"], entry["name"], entry["shape"]) == ("remote", "desk.field", [4])
        other = tmp_path / "other.yaml"
        other.write_text("name: other\n" + printed)
        run = [
            "run",
            str(other),
            "--ticks",
            "30",
            "--no-live",
            "--json",
            "--state-dir",
            str(tmp_path / "state"),
        ]
        assert invoke(run) == 0
        assert '"desk.field"' in capsys.readouterr().out
    finally:
        bridge.stop()
        thread.join(30)
    (found,) = totals
    assert found.num_sent > 0
    assert found.num_bytes == found.num_sent * 16


def test_the_entry_of_a_scalar_that_comes_once_a_day_is_valid() -> None:
    spec = SensorSpec(
        name="door",
        modality="physical",
        tensor=TensorSpec(shape=(), dtype="bool"),
        period_ns=86_400 * 10**9,
        observes=("open", "1"),
    )
    printed = entries({("desk", "door"): describe(spec, "raw")}, "tcp/127.0.0.1:9")
    (entry,) = yaml.safe_load(printed)["sensors"]
    sensor = RemoteSensor(RemoteConfig(**entry), SensorContext(clock=RealClock(), epoch_ns=0))
    assert sensor.spec.tensor == spec.tensor
    assert sensor.spec.period_ns == pytest.approx(spec.period_ns, rel=1e-5)


@pytest.mark.parametrize("way", ["driver: inline", "driver: thread", "isolate: true"])
def test_each_reading_is_sent_with_its_own_claims(
    way: str, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(Path(__file__).parents[3])  # for the sensor's own process
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, *sys.path]))
    target = f"{BurstSensor.__module__}:BurstSensor"
    monkeypatch.setitem(plugins("sensors"), "burst", Plugin(kind="burst", target=target, origin="built in"))
    config = tmp_path / "burst.yaml"
    config.write_text(f"name: burst\nsensors: [{{kind: burst, name: burst, {way}}}]\n")
    bridge = Bridge(load_config(config), BridgeOptions(host="desk", listen=(endpoint,)))
    sent: list[tuple[float, Reading]] = []

    def note(values: np.ndarray, reading: Reading) -> None:
        sent.append((float(values[0]), reading))
        if len(sent) >= 6:
            bridge.stop()

    monkeypatch.setattr(bridge._sender.sources["burst"], "send", note)
    bridge.run(30.0)
    assert len(sent) >= 6, bridge._drivers[0].statistics()
    for value, reading in sent:
        number = int(value)
        assert reading.sequence == number
        assert reading.noise_std == number
        assert reading.quality == (1 if number % 2 else 0.5)
        assert reading.confidence == pytest.approx(1 / (number + 1))
        if way != "isolate: true":  # such a process reports its health a few times a second
            assert reading.health == ("" if number % 2 else f"fault {number}")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["bridge", "list", "tcp/127.0.0.1:9"], "check the endpoint and the other host"),
        (["bridge", "list", "nonsense"], "nonsense"),
        (["bridge", "serve", "language", "--host", "a/b"], "'a/b' is no name"),
        (["bridge", "serve", "language", "--listen", "tcp/127.0.0.1:1:2"], "--listen"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(arguments) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert len(error.splitlines()) == 1


def test_a_mailbox_alone_is_mirrored(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"events-{uuid.uuid4().hex[:8]}"
    config = load_config("default", ["sensors=[]"])
    options = BridgeOptions(host="desk", listen=(endpoint,), mailboxes=(name,))
    with pytest.raises(UserError, match=f"--mailbox {name}"):
        Bridge(config, options)
    ring = SharedPeripheral.create(name, clock=RealClock())
    bridge = Bridge(config, options)
    thread = threading.Thread(target=lambda: bridge.run(120.0))
    thread.start()
    receive = ["bridge", "receive", endpoint, "--host", "desk", "--mailbox"]
    try:
        receiver = MailboxReceiver(endpoint, "desk", name, local_name=f"{name}-here")
        reader = SharedPeripheral.attach(receiver.name, clock=RealClock()).subscribe()
        for _ in range(400):
            ring.push_many(np.zeros(3, ring.dtype))
            if len(reader.pop_many(8, timeout_secs=0.05)):
                break
        receiver.stop()
        totals = receiver.run()
        assert totals.num_received > 0
        counts = f"{totals.num_received:,} records, {totals.num_lost:,} lost"
        assert f"mailbox {name}-here: {counts}, age p95" in mirror_text(totals)
        assert invoke([*receive, name, "--as", f"{name}-here", "--seconds", "0"]) == 0
        assert f"mailbox {name}-here: 0 records, 0 lost" in capsys.readouterr().out
        assert invoke([*receive, "other"]) == 2
        assert "host desk sends no mailbox other" in capsys.readouterr().err
    finally:
        bridge.stop()
        thread.join(30)
        ring.close()
        ring.unlink()
    (sent,) = bridge.mailbox_totals
    assert sent.num_sent >= totals.num_received
    assert f"mailbox {name}: {sent.num_sent:,} records" in totals_text((), bridge.mailbox_totals)
