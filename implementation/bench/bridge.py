"""Sensors of another host (`sage bridge`) beside zenoh alone, with the same bytes over TCP on loopback.

Two processes. In turns, ours and zenoh alone send readings of 12,000 bytes: at 30 a second, for the age at
which the receiver has them in an array, and as fast as the sender can, for the rate that arrives and for CPU
time. Ours adds a header, the receiver's clock offset, the check of the description, and the newest-wins slot.
The age is exact: both processes read one clock, and a reading's first element is the time of its sending.
"""

from __future__ import annotations

import multiprocessing
import resource
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

import harness
import numpy as np

from sage.mailbox.clock import RealClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Reading, SensorContext, SensorSpec
from sage.sensors.remote.remote_sensor import RemoteConfig, RemoteSensor
from sage.sensors.remote.sender import HostSender

SHAPE = (1500,)  # int64: 12,000 bytes, what a picture may have
RATE_HZ = 30.0
HOST, SOURCE, RAW_KEY = "near", "field", "bench/field"
SPEC = SensorSpec(
    name=SOURCE,
    modality="physical",
    tensor=TensorSpec(shape=SHAPE, dtype="int64"),
    period_ns=round(1e9 / RATE_HZ),
    observes=("time", "ns"),
)
WAYS = ("ours", "zenoh alone")
#: After the sender's last reading, until the receiver gives up on one more.
SILENCE_SECS = 1.0


@dataclass(frozen=True)
class Heard:
    """Of one round. ages_us: of every reading that arrived.  num_sent: of those that were sent.
    cpu_secs: of the receiver.
    """

    ages_us: tuple[float, ...]
    num_sent: int
    secs: float
    cpu_secs: float

    @property
    def rate_hz(self) -> float:
        return len(self.ages_us) / self.secs


def cpu_secs() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def receive(way: str, endpoint: str, pipe: Connection) -> None:
    """The receiving process: ages until the sender is silent."""
    ages: list[float] = []
    if way == "ours":
        clock = RealClock()
        config = RemoteConfig(
            name=SOURCE, endpoint=endpoint, host=HOST, shape=SHAPE, dtype="int64", rate_hz=RATE_HZ,
            quantity="time", unit="ns",
        )  # fmt: skip
        sensor = RemoteSensor(config, SensorContext(clock=clock, epoch_ns=clock.now_ns()))
        sensor.open()
        out = np.zeros(SHAPE, np.int64)

        def next_stamp() -> int | None:
            return int(out[0]) if sensor.read_into(out) is not None else None

        close: Callable[[], object] = sensor.close
    else:
        import zenoh

        session = zenoh.open(raw_config(connect=endpoint))
        subscriber = session.declare_subscriber(RAW_KEY, zenoh.handlers.RingChannel(1))
        array = np.zeros(SHAPE, np.int64)

        def next_stamp() -> int | None:
            sample = subscriber.try_recv()
            if sample is None:
                time.sleep(0.0002)
                return None
            array[:] = np.frombuffer(sample.payload.to_bytes(), np.int64)
            return int(array[0])

        close = session.close
    pipe.send("ready")
    began, last = cpu_secs(), time.monotonic()
    while time.monotonic() - last < SILENCE_SECS or not ages:
        stamp = next_stamp()
        if stamp is not None:
            last = time.monotonic()
            ages.append((time.monotonic_ns() - stamp) / 1e3)
        elif pipe.poll() and not ages:
            break
    pipe.send((ages, cpu_secs() - began))
    close()


def raw_config(*, listen: str | None = None, connect: str | None = None) -> Any:
    import zenoh

    config = zenoh.Config()
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("mode", '"peer"' if listen else '"client"')
    side, endpoint = ("listen", listen) if listen else ("connect", connect)
    config.insert_json5(f"{side}/endpoints", f'["{endpoint}"]')
    return config


class Sender:
    """One way to send: `send` and `close`."""

    def __init__(self, way: str, endpoint: str) -> None:
        self._values = np.zeros(SHAPE, np.int64)
        self.num_sent = 0
        if way == "ours":
            host = HostSender(HOST, (SPEC,), RealClock(), listen=[endpoint])
            source = host.sources[SOURCE]
            self.close: Callable[[], object] = host.close
            self._put = lambda: source.send(self._values, self._reading())
        else:
            import zenoh

            session = zenoh.open(raw_config(listen=endpoint))
            publisher = session.declare_publisher(
                RAW_KEY,
                congestion_control=zenoh.CongestionControl.DROP,
                reliability=zenoh.Reliability.BEST_EFFORT,
                express=True,
            )
            self.close = session.close
            self._put = lambda: publisher.put(self._values.tobytes())

    def _reading(self) -> Reading:
        captured_ns = int(self._values[0])
        return Reading(
            captured_ns=captured_ns, received_ns=captured_ns, sequence=self.num_sent, noise_std=0.0
        )

    def send(self) -> None:
        self._values[0] = time.monotonic_ns()
        self._put()
        self.num_sent += 1


def one_round(way: str, rate_hz: float | None, secs: float) -> Heard:
    """Send for `secs` at a rate, or as fast as possible; what the other process received."""
    endpoint = f"tcp/127.0.0.1:{free_port()}"
    sender = Sender(way, endpoint)
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=receive, args=(way, endpoint, there))
    process.start()
    there.close()
    assert here.recv() == "ready"
    time.sleep(0.3)  # the subscription reaches the sender
    began = time.monotonic()
    while (now := time.monotonic()) - began < secs:
        sender.send()
        if rate_hz is not None:
            time.sleep(max(0.0, began + (sender.num_sent + 1) / rate_hz - now))
    here.send("end")
    ages, receiver_cpu = here.recv()
    process.join()
    sender.close()
    return Heard(ages_us=tuple(ages), num_sent=sender.num_sent, secs=secs, cpu_secs=receiver_cpu)


def quantile(rounds: list[Heard], share: float) -> float:
    return float(np.quantile(np.concatenate([each.ages_us for each in rounds]), share))


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each way, in turns")
    parser.add_argument("--secs", type=float, default=5.0, help="of each round")
    arguments = parser.parse_args()
    rounds, secs = (1, 1.0) if arguments.quick else (arguments.rounds, arguments.secs)
    found: dict[tuple[str, str], list[Heard]] = {}
    for number in range(rounds):
        for way in WAYS if number % 2 == 0 else WAYS[::-1]:
            for load, rate_hz in (("30 Hz", RATE_HZ), ("full", None)):
                found.setdefault((way, load), []).append(one_round(way, rate_hz, secs))
    rows = []
    for (way, load), heard in sorted(found.items()):
        sent = sum(each.num_sent for each in heard)
        arrived = sum(len(each.ages_us) for each in heard)
        cpu_us = 1e6 * sum(each.cpu_secs for each in heard) / max(arrived, 1)
        rows.append(
            (
                way,
                load,
                f"{sent:,}",
                f"{100 * arrived / sent:.1f}",
                f"{np.mean([each.rate_hz for each in heard]):,.0f}",
                *(f"{quantile(heard, share):,.0f}" for share in (0.5, 0.95, 0.99)),
                f"{cpu_us:.0f}",
            )
        )
    columns = (
        "way",
        "load",
        "sent",
        "taken %",
        "taken/s",
        "age p50 us",
        "p95",
        "p99",
        "receiver CPU us each",
    )
    table = harness.TextTable(title="Readings of 12,000 bytes over TCP", columns=columns, rows=tuple(rows))
    own, raw = (quantile(found[way, "30 Hz"], 0.95) for way in WAYS)
    bar = harness.Bar(
        name="age at 30 Hz, p95, ours less zenoh alone, ms",
        value=None if arguments.quick else (own - raw) / 1e3,
        bar=1.0,
        better="lower",
    )
    results = {
        "rounds": rounds,
        "secs": secs,
        "heard": {
            f"{way}, {load}": [
                {key: value for key, value in asdict(each).items() if key != "ages_us"}
                | {"num_taken": len(each.ages_us), "p95_us": quantile([each], 0.95)}
                for each in heard
            ]
            for (way, load), heard in found.items()
        },
        "calibration": harness.calibrate(),
    }
    document = harness.document("bridge", results, [bar])
    notes = (__doc__ or "").partition("\n\n")[2]
    harness.finish(document, [table, harness.bars_table([bar])], is_saved=arguments.save, notes=notes)


if __name__ == "__main__":
    main()
