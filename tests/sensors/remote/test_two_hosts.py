"""Two hosts in network namespaces, with a relay between them that delays, loses and cuts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
RELAY = Path(__file__).with_name("relay.py")
MAX_AGE_P95_MS = 250.0
#: Readings taken, of those that were sent. On UDP the relay loses a picture with one of its datagrams; on TCP
#: those that wait behind a lost packet arrive together, and only the newest of them is taken.
MIN_SHARES = {"tcp": 0.8, "udp": 0.9}
#: Ticks at the sender's rate with a new reading: now and then none arrives between two ticks, and then two.
MIN_TICKS = 0.7
#: Reads for 40 s; prints ages in ms before the cut and after it, by seconds since the start.
READER = """
import json, sys, time
import numpy as np
from sage.mailbox.clock import RealClock
from sage.sensors.contract import SensorContext, SensorError
from sage.sensors.remote.remote_sensor import RemoteConfig, RemoteSensor
clock = RealClock()
config = RemoteConfig(name="front", endpoint=sys.argv[1], host="cam", shape=(120, 160, 3), dtype="uint8",
                      rate_hz=30, quantity="light", unit="sRGB 0..255")
sensor = RemoteSensor(config, SensorContext(clock=clock, epoch_ns=clock.now_ns()))
sensor.open()
print("open", flush=True)
out, found, began = np.zeros((120, 160, 3), np.uint8), [], clock.now_ns()
while clock.now_ns() - began < 40e9:
    try:
        reading = sensor.read_into(out)
    except SensorError:
        continue
    if reading is not None:
        now = clock.now_ns()
        found.append(((now - began) / 1e9, (now - reading.captured_ns) / 1e6, reading.sequence))
sensor.close()
print(json.dumps(found))
"""


def run(*arguments: str) -> None:
    subprocess.run(arguments, check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str, str]]:
    """Names of the namespaces: camera 10.77.1.2, relay 10.77.1.1 and 10.77.2.1, loop 10.77.2.2."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the command ip")
    name = uuid.uuid4().hex[:6]
    camera, relay, loop = (f"sage-{name}-{part}" for part in ("cam", "relay", "loop"))
    with ExitStack() as stack:
        for each in (camera, relay, loop):
            run("ip", "netns", "add", each)
            stack.callback(run, "ip", "netns", "del", each)
            run("ip", "-n", each, "link", "set", "lo", "up")
        for number, host in ((1, camera), (2, loop)):
            here, there = f"h{name}", f"r{name}{number}"
            peer = ("peer", "name", there, "netns", relay)
            run("ip", "link", "add", here, "netns", host, "type", "veth", *peer)
            for namespace, device, last in ((host, here, 2), (relay, there, 1)):
                run("ip", "-n", namespace, "addr", "add", f"10.77.{number}.{last}/24", "dev", device)
                run("ip", "-n", namespace, "link", "set", device, "up")
        yield camera, relay, loop


def begin(stack: ExitStack, namespace: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process in a namespace, ended with the stack, after its first line."""
    command = ["ip", "netns", "exec", namespace, sys.executable, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_camera_on_another_host(protocol: str, hosts: tuple[str, str, str], tmp_path: Path) -> None:
    camera, relay, loop = hosts
    config = tmp_path / "cam.yaml"
    config.write_text(
        'name: cam\nsensors: [{kind: video, name: front, lavfi: "testsrc2=size=160x120:rate=30"}]\n'
    )
    with ExitStack() as stack:
        listen = f"{protocol}/10.77.1.2:7447"
        begin(
            stack, camera, "-m", "sage", "bridge", "serve", str(config), "--host", "cam", "--listen", listen
        )
        ends = ("10.77.2.1", "7447", "10.77.1.2", "7447", "0.02", "0.01")
        between = begin(stack, relay, str(RELAY), protocol, *ends)
        reader = begin(stack, loop, "-c", READER, f"{protocol}/10.77.2.1:7447")
        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(14)
        between.send_signal(signal.SIGUSR1)
        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(10)
        between.send_signal(signal.SIGUSR2)
        output, _ = reader.communicate(timeout=60)
        found = json.loads(output)
        before = sorted(age for secs, age, _ in found if secs < 13)
        after = sorted(age for secs, age, _ in found if secs > 32)
        for first, last in ((0, 13), (32, 60)):
            numbers = [number for secs, _, number in found if first <= secs < last]
            assert len(numbers) >= MIN_SHARES[protocol] * (numbers[-1] - numbers[0] + 1)
        for ages in (before, after):
            assert ages[int(0.95 * len(ages))] <= MAX_AGE_P95_MS
        sequences = [sequence for _, _, sequence in found]
        assert sequences == sorted(set(sequences))

        remote = tmp_path / "loop.yaml"
        remote.write_text(
            "name: loop\ntick: {rate_hz: 30, rest_rate_hz: 30, dream_rate_hz: 30}\n"
            "sensors:\n  - {kind: clock, name: clock}\n  - {kind: remote, name: front, host: cam,"
            f" endpoint: {protocol}/10.77.2.1:7447, shape: [120, 160, 3], dtype: uint8, rate_hz: 30,"
            " quantity: light, unit: 'sRGB 0..255'}\n"
        )
        command = ["ip", "netns", "exec", loop, sys.executable, "-m", "sage", "run", str(remote)]
        limits = ["--seconds", "10", "--no-live", "--json", "--state-dir", str(tmp_path / "state")]
        done = subprocess.run([*command, *limits], capture_output=True, text=True, timeout=120, check=True)
        summary = json.loads(done.stdout)
        (source,) = [each for each in summary["sources"] if each["name"] == "front"]
        assert source["status"] == "running"
        assert source["num_readings"] >= MIN_TICKS * summary["num_ticks"]
        assert source["num_dropped"] < summary["num_ticks"]  # none of before the loop began
