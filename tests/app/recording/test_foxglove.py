"""The live server for Foxglove: what a client of its protocol gets, and sessions that do not wait for it."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog

from sage.app.cli.main import invoke
from sage.app.recording.foxglove_sink import FoxgloveSink
from sage.app.recording.items import Log, Readings
from sage.app.recording.messages import Messages
from sage.app.terminal.errors import UserError
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.report import Event
from sage.sensors.contract import Reading, SensorSpec

pytest.importorskip("foxglove", reason="pip install 'sage-runtime[foxglove]'")
client = pytest.importorskip("websockets.sync.client", reason="pip install 'sage-runtime[groot]'")

START_NS = 1_700_000_000_000_000_000
SPEC = SensorSpec(
    name="imu",
    modality="physical",
    tensor=TensorSpec(shape=(2,)),
    period_ns=10_000_000,
    observes=("acceleration", "m/s^2"),
    channels=("x", "y[0]"),
)


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def sink() -> Iterator[FoxgloveSink]:
    sink = FoxgloveSink(0)
    yield sink
    sink.close({})


def connect(port: int) -> client.ClientConnection:
    return client.connect(f"ws://127.0.0.1:{port}", subprotocols=["foxglove.sdk.v1"], proxy=None)


def advertised(connection: client.ClientConnection, num: int) -> dict[str, dict[str, object]]:
    """By topic, once there are so many."""
    found: dict[str, dict[str, object]] = {}
    while len(found) < num:
        message = json.loads(connection.recv(timeout=20))
        if message["op"] == "advertise":
            found |= {channel["topic"]: channel for channel in message["channels"]}
    return found


def test_a_client_gets_the_channels_and_the_messages_it_subscribes_to(sink: FoxgloveSink) -> None:
    messages = Messages(sink, [SPEC], epoch_ns=5, start_ns=START_NS, loop_epoch_ns=5, jpeg=False)
    with connect(sink.port) as connection:
        channels = advertised(connection, 6)
        assert channels["/sage/events"]["schemaName"] == "foxglove.Log"
        imu = channels["/sensors/imu"]
        schema = json.loads(str(imu["schema"]))
        assert set(schema["properties"]["values"]["properties"]) == {"x", "y_0"}
        subscriptions = [
            {"id": 7, "channelId": imu["id"]},
            {"id": 8, "channelId": channels["/sage/events"]["id"]},
        ]
        connection.send(json.dumps({"op": "subscribe", "subscriptions": subscriptions}))
        wait_until_wanted(sink, 2)
        reading = Reading(captured_ns=15, received_ns=20, sequence=3)
        messages.write(Readings("imu", np.array([1.5, -2.0], dtype=np.float32), reading, 25))
        messages.write(Log(Event(kind="fault", tick=4, source="imu", message="lost"), 30))
        found = {}
        while len(found) < 2:
            data = connection.recv(timeout=20)
            if isinstance(data, bytes):
                opcode, subscription, log_ns = struct.unpack_from("<BIQ", data)
                assert opcode == 1
                found[subscription] = (log_ns, json.loads(data[13:]))
    log_ns, message = found[7]
    assert log_ns == START_NS + 20
    assert message["values"] == {"x": 1.5, "y_0": -2.0}
    assert message["timestamp"] == {"sec": START_NS // 10**9, "nsec": 10}
    assert found[8][1]["level"] == 4
    assert messages.num_written == 2


def wait_until_wanted(sink: FoxgloveSink, num: int) -> None:
    while sum(sink.wants(channel) for channel in range(6)) < num:
        threading.Event().wait(0.001)


def test_nothing_is_made_without_a_subscription(sink: FoxgloveSink) -> None:
    messages = Messages(sink, [SPEC], epoch_ns=0, start_ns=START_NS, loop_epoch_ns=0, jpeg=False)
    reading = Reading(captured_ns=0, received_ns=0, sequence=0)
    messages.write(Readings("imu", np.zeros(2, dtype=np.float32), reading, 0))
    assert messages.num_written == 0


def test_only_loopback_is_bound_and_a_taken_port_is_one_line(
    sink: FoxgloveSink,
) -> None:
    with socket.socket() as other:
        other.settimeout(5)
        with pytest.raises(OSError):
            other.connect((_own_address(), sink.port))
    with pytest.raises(UserError, match="another port"):
        FoxgloveSink(sink.port)


def _own_address() -> str:
    """Of this machine on a network; one that nothing answers where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return "192.0.2.1"
        return str(probe.getsockname()[0])


def test_a_client_that_does_not_read_changes_no_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, port = tmp_path / "run.mcap", free_port()
    pytest.importorskip("mcap", reason="pip install 'sage-runtime[recording]'")
    (tmp_path / "small.yaml").write_text(
        "name: small\nmodel: {hidden_size: 16, num_heads: 2, H_cycles: 1, L_cycles: 1}\n"
        "budget: {segments: 1}\nsleep: {enabled: false}\npractice: {enabled: false}\n"
        "sensors: [{kind: synthetic, name: one, shape: [64], rate_hz: 20}]\n"
    )
    state = ["--no-live", "--state-dir", str(tmp_path / "state")]
    run = ["run", str(tmp_path / "small.yaml"), "--fast", "--ticks", "40", "--record", str(path)]
    assert invoke([*run, *state]) == 0
    is_over = threading.Event()
    stalled = threading.Thread(target=subscribe_and_stall, args=(port, is_over), daemon=True)
    stalled.start()
    capsys.readouterr()
    assert invoke(["replay", str(path), "--json", "--foxglove", str(port), *state]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["replay"]["num_equal"] == 40
    assert found["foxglove"]["address"].endswith(f":{port}")
    is_over.set()
    stalled.join(20)
    assert not stalled.is_alive()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def subscribe_and_stall(port: int, is_over: threading.Event) -> None:
    """Connect once the server is there, subscribe to all, and read nothing."""
    while True:
        try:
            connection = connect(port)
            break
        except OSError:
            threading.Event().wait(0.005)
    with connection:
        channels = advertised(connection, 6)
        wanted = [{"id": index, "channelId": each["id"]} for index, each in enumerate(channels.values())]
        connection.send(json.dumps({"op": "subscribe", "subscriptions": wanted}))
        is_over.wait()
        connection.socket.close()
