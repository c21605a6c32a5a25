"""A sensor in a process of its own: frames without a copy, and faults that cost this source only."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.mailbox import Hub, PeripheralMailbox, RealClock
from sage.mailbox.record import SUMMARY
from sage.mailbox.shared.memory.census import find_segments
from sage.mailbox.shared.memory.segment import FOLDER, PREFIX
from sage.sensors.contract import SensorContext, SensorError
from sage.sensors.devices.synthetic import SyntheticSensor
from sage.sensors.devices.table import TableSensor
from sage.sensors.devices.video import VideoSensor
from sage.sensors.driver.isolation.engine import Isolation
from sage.sensors.driver.isolation.plan import IsolationPlan, resolve_target, target_of
from sage.sensors.driver.isolation.status import SensorStatus
from sage.sensors.driver.isolation.worker import IsolatedSensor
from sage.sensors.driver.sensor_driver import SensorDriver

DEADLINE_SECS = 60.0


class IsolatedRig:
    """One isolated source, driven from here."""

    def __init__(self, hub: Hub, kind: Any = SyntheticSensor, **settings: Any) -> None:
        clock = RealClock()
        config = kind.Config(name="source", isolate=True, backoff_secs=0.01, **settings)
        context = SensorContext(clock=clock, epoch_ns=clock.now_ns())
        sensor = kind(config, context)
        self.clock, self.records = clock, PeripheralMailbox("records", clock=clock, capacity=4096)
        self.summaries = self.records.subscribe()
        self.focus = hub.shared_focus(
            "source", slots=4, slot_bytes=sensor.spec.tensor.num_bytes, engine="plain"
        )
        isolation = Isolation(
            target=target_of(kind),
            config=config,
            context=lambda: context,
            records=hub.shared_peripheral("source.records", capacity=256, engine="plain"),
            focus=self.focus,
        )
        self.driver = SensorDriver(
            lambda: kind(config, context),
            config=config,
            peripheral=self.records,
            focus=self.focus,
            clock=clock,
            producer=3,
            isolation=isolation,
        )
        self.driver.start()

    def until(self, condition: Callable[[], bool]) -> None:
        end_secs = time.monotonic() + DEADLINE_SECS
        while not condition():
            assert time.monotonic() < end_secs, self.driver.statistics()
            self.driver.poll(self.clock.now_ns())
            time.sleep(0.002)

    def until_readings(self, num: int) -> None:
        wanted = self.driver.statistics().num_readings + num
        self.until(lambda: self.driver.statistics().num_readings >= wanted)

    @property
    def pid(self) -> int:
        return self.driver._engine._process.pid  # type: ignore[union-attr]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(RealClock()) as hub:
        yield hub


@pytest.fixture
def rig(hub: Hub) -> Iterator[Callable[..., IsolatedRig]]:
    rigs: list[IsolatedRig] = []

    def make(kind: Any = SyntheticSensor, **settings: Any) -> IsolatedRig:
        rigs.append(IsolatedRig(hub, kind, **settings))
        return rigs[-1]

    yield make
    for each in rigs:
        each.driver.close()


@dataclass(frozen=True)
class Mapping:
    """Where one process has a file's bytes."""

    start: int
    stop: int
    offset: int
    is_writable: bool


def _mappings(pid: int | str, name: str) -> list[Mapping]:
    inode = str((FOLDER / f"{PREFIX}{name}").stat().st_ino)
    found = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, permissions, offset, _, its_inode, *_ = line.split()
        if its_inode == inode:
            start, stop = (int(edge, 16) for edge in span.split("-"))
            found.append(Mapping(start, stop, int(offset, 16), "w" in permissions))
    return found


def _read_from(pid: int, name: str, array: np.ndarray) -> bytes:
    """The bytes of `array`, which is in this process's mapping of a mailbox, as the other process
    reads them.
    """
    address = array.ctypes.data
    here = next(each for each in _mappings("self", name) if each.start <= address < each.stop)
    there = next(each for each in _mappings(pid, name) if each.is_writable)
    with open(f"/proc/{pid}/mem", "rb") as memory:
        memory.seek(there.start + address - here.start + here.offset - there.offset)
        return memory.read(array.nbytes)


def test_a_full_hd_frame_is_in_the_same_pages_in_both_processes(rig: Callable[..., IsolatedRig]) -> None:
    pytest.importorskip("av", reason="pictures need the package av")
    source = rig(VideoSensor, lavfi="testsrc2=size=1920x1080:rate=10")
    source.until_readings(2)
    assert source.pid != os.getpid()
    lease = source.driver.read_freshest()
    assert lease is not None
    with lease:
        assert lease.array.shape == (1080, 1920, 3)
        assert lease.array.std() > 10
        assert not lease.array.flags.writeable
        own = lease.claim()
        nonce = np.frombuffer(os.urandom(64), dtype=np.uint8)
        own[540, :64, 1] = nonce
        there = np.frombuffer(_read_from(source.pid, source.focus.name, own), dtype=np.uint8).reshape(
            own.shape
        )
        assert (there[540, :64, 1] == nonce).all()
        del own
    statistics = source.focus.statistics()
    assert statistics.bytes_copied == 0
    assert statistics.bytes_referenced >= 1080 * 1920 * 3


def test_its_records_reach_all_subscribers_in_order(rig: Callable[..., IsolatedRig]) -> None:
    source = rig(shape=(4,), rate_hz=200, noise_std=0.25)
    source.until_readings(20)
    batch = source.summaries.pop_many(4096).records.view(SUMMARY)
    sequences = batch["sequence"].astype(int)
    assert (np.diff(sequences) > 0).all()
    assert set(batch["producer"]) == {3}
    assert np.allclose(batch["noise_std"], 0.25)
    last = source.driver.statistics()
    assert last.sequence == sequences[-1]
    assert last.noise_std == pytest.approx(0.25)


def test_a_killed_process_costs_its_own_source_and_is_restarted(rig: Callable[..., IsolatedRig]) -> None:
    source = rig(shape=(64, 64), rate_hz=100)
    source.until_readings(3)
    before = source.driver.statistics()
    first = source.pid
    os.kill(first, signal.SIGKILL)
    source.until(lambda: source.driver.statistics().num_faults == 1)
    assert "SIGKILL" in source.driver.statistics().last_error
    source.until(lambda: source.driver.statistics().num_restarts == 1)
    source.until_readings(3)
    assert source.pid != first
    assert source.driver.statistics().sequence > before.sequence
    assert source.focus.statistics().orphans >= 1  # the loan that the dead one held was taken back


def test_a_hung_process_is_ended(rig: Callable[..., IsolatedRig]) -> None:
    source = rig(shape=(4,), rate_hz=100, hang_secs=0.3)
    source.until_readings(1)
    first = source.pid
    os.kill(first, signal.SIGSTOP)  # a stopped process hangs
    source.until(lambda: source.driver.statistics().num_faults == 1)
    assert "not returned" in source.driver.statistics().last_error
    source.until(lambda: source.driver.statistics().num_restarts == 1)


def test_the_devices_error_is_the_drivers_error(rig: Callable[..., IsolatedRig]) -> None:
    source = rig(shape=(4,), rate_hz=100, faults=({"fault": "raise", "at_secs": 0.0, "for_secs": 60.0},))
    source.until(lambda: source.driver.statistics().num_faults >= 1)
    assert "unplugged" in source.driver.statistics().last_error


def test_a_recording_ends(rig: Callable[..., IsolatedRig]) -> None:
    source = rig(shape=(4,), rate_hz=20, num_readings=200)  # readings before it opens are left out
    source.until(lambda: source.driver.statistics().status == "exhausted")
    statistics = source.driver.statistics()
    assert (
        statistics.num_readings == statistics.sequence + 1 >= 1
    )  # all readings have arrived before the end was seen
    assert statistics.num_faults == 0


def test_nothing_is_left_behind(hub: Hub) -> None:
    source = IsolatedRig(hub, shape=(4,), rate_hz=100)
    source.until_readings(1)
    pid = source.pid
    source.driver.close()
    source.until(lambda: not Path(f"/proc/{pid}").exists())
    hub.close()
    assert not [found for found in find_segments() if found.creator == os.getpid() and "source" in found.name]


def test_a_class_that_cannot_be_imported_is_refused() -> None:
    class Local:
        pass

    with pytest.raises(SensorError, match="can be imported"):
        target_of(Local)
    with pytest.raises(SensorError, match="cannot be imported"):
        resolve_target("sage.sensors.devices.synthetic:Absent")


def test_a_sensor_that_has_another_shape_when_it_is_started_again_is_not_read(
    hub: Hub, tmp_path: Path
) -> None:
    """Its readings would not fit what the loop has laid out for them."""
    table = tmp_path / "t.csv"
    table.write_text("t,x\n0,1\n1,2\n")
    context = SensorContext(clock=RealClock(), epoch_ns=0)
    config = TableSensor.Config(name="source", isolate=True, path=table, time="t")
    isolation = Isolation(
        target=target_of(TableSensor),
        config=config,
        context=lambda: context,
        records=hub.shared_peripheral("source.records", capacity=16, engine="plain"),
        focus=hub.shared_focus("source", slots=2, slot_bytes=8, engine="plain"),
    )
    spec = TableSensor(config, context).spec
    block = SensorStatus.create("source.status")
    try:
        plan = isolation.plan(status=block.name, producer=0, after_sequence=-1, spec=spec)
        IsolatedSensor(IsolationPlan.from_json(plan.to_json()), block).close()
        table.write_text("t,x,y\n0,1,5\n1,2,5\n")
        with pytest.raises(SensorError, match=r"another spec: .*'x', 'y'.* it was .*'x',\)"):
            IsolatedSensor(IsolationPlan.from_json(plan.to_json()), block)
    finally:
        block.unlink()
