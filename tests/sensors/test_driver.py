"""Cables pulled: whatever the device does, the loop goes on, it is counted and shown, and it comes back."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.mailbox.errors import MailboxEmpty
from sage.mailbox.focus import FocusMailbox
from sage.mailbox.peripheral import PeripheralMailbox
from sage.mailbox.record import DEMOTED, SUMMARY
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, Sensor, SensorContext, SensorError, SensorSpec, SensorUnavailable
from sage.sensors.driver import SensorDriver
from sage.sensors.synthetic import SyntheticConfig, SyntheticSensor

TICK_NS = 50_000_000
WAIT_SECS = 20.0


class Rig:
    """One driver with mailboxes of its own, on a manual clock."""

    def __init__(self, clock: ManualClock, make: Callable[[], Sensor], num_slots: int = 256, **settings: Any) -> None:
        spec = make().spec
        self.clock = clock
        self.peripheral = PeripheralMailbox("summaries", clock=clock, capacity=4096)
        self.focus = FocusMailbox(spec.name, clock=clock, slots=num_slots, slot_bytes=spec.tensor.num_bytes)
        self.records = self.peripheral.subscribe()
        max_per_poll = settings.pop("max_per_poll", 32)
        config = SensorConfig.model_validate({"kind": "test", "name": spec.name, **settings})
        self.driver = SensorDriver(
            make, config=config, peripheral=self.peripheral, focus=self.focus, clock=clock, producer=3, max_per_poll=max_per_poll
        )
        self.driver.start()

    def tick(self, secs: float) -> list[int]:
        """Poll for so long, every 50 ms; the sequences that were delivered."""
        told = []
        stop_ns = self.clock.now_ns() + round(secs * 1e9)
        while self.clock.now_ns() < stop_ns:
            self.clock.advance(TICK_NS)
            self.driver.poll(self.clock.now_ns())
            while (lease := self.driver.read_next()) is not None:
                with lease:
                    assert np.isfinite(lease.array).all()
                    told.append(lease.meta.sequence)
        return told

    def summaries(self) -> np.ndarray:
        return self.records.pop_many(4096).records.view(SUMMARY)


class ScriptedSensor:
    """Says what its script says: a Reading, None, or an exception, a read each; then nothing."""

    def __init__(self, script: list[Any], *, is_bounded: bool = True, size: int = 2) -> None:
        self.script = script
        self.spec = SensorSpec(
            name="scripted",
            modality="physical",
            tensor=TensorSpec(shape=(size,)),
            period_ns=100_000_000,
            observes=("test", "1"),
            is_bounded=is_bounded,
        )
        self.opened = 0
        self.closed = 0

    def open(self) -> None:
        self.opened += 1

    def read_into(self, out: np.ndarray) -> Reading | None:
        said = self.script.pop(0) if self.script else None
        if isinstance(said, Exception):
            raise said
        out[:] = 1.0
        return said

    def close(self) -> None:
        self.closed += 1


class StuckSensor(ScriptedSensor):
    """Reads block until `released`, whatever is done to it."""

    def __init__(self, released: threading.Event, entered: threading.Semaphore) -> None:
        super().__init__([], is_bounded=False)
        self.released = released
        self.entered = entered

    def read_into(self, out: np.ndarray) -> Reading | None:
        self.entered.release()
        self.released.wait()
        out[:] = 1.0
        return None


def reading(sequence: int, captured_ns: int) -> Reading:
    return Reading(captured_ns=captured_ns, received_ns=captured_ns, sequence=sequence)


@pytest.fixture
def synthetic(clock: ManualClock, context: SensorContext) -> Callable[..., Rig]:
    """A rig around a synthetic source of 10 Hz, whose `fault` lasts from 1 to 2 s."""

    def make_rig(fault: str | None = None, size: float = 1.0, for_secs: float = 1.0, **settings: Any) -> Rig:
        faults = [] if fault is None else [{"at_secs": 1.0, "for_secs": for_secs, "fault": fault, "size": size}]
        config = SyntheticConfig.model_validate({"rate_hz": 10, "faults": faults})
        return Rig(clock, lambda: SyntheticSensor(config, context), **settings)

    return make_rig


def test_a_reading_goes_to_both_mailboxes(synthetic: Callable[..., Rig]) -> None:
    rig = synthetic()
    assert rig.driver.is_inline
    assert rig.driver.poll(rig.clock.now_ns()) == 1
    (record,) = rig.summaries()
    with rig.driver.read_block(1.0) as lease:
        assert record["mean"] == pytest.approx(lease.array.mean())
        assert (record["focus_slot"], record["focus_generation"]) == (lease.meta.slot, lease.meta.generation)
        assert record["sequence"] == lease.meta.sequence == 0
        assert record["stamp_ns"] == lease.meta.stamp_ns == rig.clock.now_ns()
        assert record["producer"] == lease.meta.producer == 3
        assert record["noise_std"] == pytest.approx(0.05)
    statistics = rig.driver.statistics()
    assert (statistics.status, statistics.num_readings, statistics.sequence) == ("running", 1, 0)
    assert statistics.noise_std == 0.05


def test_a_source_that_raises_is_quarantined_and_comes_back(synthetic: Callable[..., Rig]) -> None:
    rig = synthetic("raise")
    assert rig.tick(0.95) == list(range(10))
    assert rig.tick(0.5) == []
    statistics = rig.driver.statistics()
    assert statistics.status == "quarantined"
    assert "unplugged" in statistics.last_error
    after = rig.tick(2.0)
    statistics = rig.driver.statistics()
    assert statistics.status == "running"
    assert statistics.num_restarts == 1
    assert statistics.num_faults >= 2
    assert after == list(range(10, 10 + len(after)))  # the device counts from 0 again, what is told goes on
    assert len(after) >= 8


def test_pauses_double_until_it_comes_back(clock: ManualClock) -> None:
    attempts: list[int] = []

    class Absent(ScriptedSensor):
        def open(self) -> None:
            attempts.append(clock.now_ns())
            raise SensorUnavailable("not plugged in")

    rig = Rig(clock, lambda: Absent([]), backoff_secs=0.5, max_backoff_secs=4.0)
    assert rig.driver.statistics().status == "quarantined"
    rig.tick(20.0)
    pauses = np.diff(attempts) / 1e9
    np.testing.assert_allclose(pauses, [0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0])
    assert rig.driver.statistics().num_faults == len(attempts)


def test_nan_is_never_published(synthetic: Callable[..., Rig]) -> None:
    rig = synthetic("nan")
    before, during = rig.tick(0.95), rig.tick(0.5)
    assert (before, during) == (list(range(10)), [])
    assert "NaN" in rig.driver.statistics().last_error
    assert rig.tick(3.0)[-1] > 10
    assert np.isfinite(rig.summaries()["mean"]).all()


def test_nan_anywhere_in_a_large_reading_is_found(clock: ManualClock) -> None:
    class OneNan(ScriptedSensor):
        def read_into(self, out: np.ndarray) -> Reading | None:
            out[:] = 0.0
            out[12_345] = np.nan
            return reading(0, clock.now_ns())

    rig = Rig(clock, lambda: OneNan([], size=50_000), num_slots=4)
    rig.tick(0.1)
    assert rig.driver.statistics().num_faults == 1
    assert rig.driver.statistics().num_readings == 0


def test_another_shape_is_a_fault(synthetic: Callable[..., Rig]) -> None:
    rig = synthetic("shape")
    rig.tick(1.2)
    assert "broadcast" in rig.driver.statistics().last_error
    assert rig.driver.statistics().status == "quarantined"
    rig.tick(2.0)
    assert rig.driver.statistics().status == "running"


def test_stale_readings_are_counted_then_the_device_is_opened_again(synthetic: Callable[..., Rig]) -> None:
    rig = synthetic("stale", for_secs=3.0, hang_secs=1.0)
    rig.tick(1.9)
    statistics = rig.driver.statistics()
    assert statistics.num_duplicate > 5
    assert statistics.num_readings == 10
    rig.tick(0.5)
    assert "stale" in rig.driver.statistics().last_error
    rig.tick(4.0)
    assert rig.driver.statistics().status == "running"
    assert rig.driver.statistics().num_readings > 20


def test_frozen_values_are_delivered_for_trust_to_judge(synthetic: Callable[..., Rig]) -> None:
    rig = synthetic("frozen")
    assert rig.tick(3.0) == list(range(31))
    means = rig.summaries()["mean"]
    assert np.ptp(means[10:20]) == 0.0
    assert rig.driver.statistics().num_faults == 0


def test_a_flood_is_limited_and_counted(synthetic: Callable[..., Rig]) -> None:
    rig = synthetic("flood", size=50, max_per_poll=64)
    rig.tick(1.05)
    during = rig.tick(0.9)
    statistics = rig.driver.statistics()
    assert len(during) <= 32 + 4 * 10  # the burst that any device may send, and four times its rate
    assert statistics.num_flooded >= 400
    assert statistics.num_dropped == 0
    rig.tick(0.2)
    flooded = rig.driver.statistics().num_flooded
    assert len(rig.tick(2.0)) == 20
    assert rig.driver.statistics().num_flooded == flooded
    assert rig.driver.statistics().num_faults == 0


def test_one_poll_takes_no_more_than_its_share(synthetic: Callable[..., Rig]) -> None:
    rig = synthetic(max_per_poll=5)
    rig.clock.advance(2_000_000_000)
    assert [rig.driver.poll(rig.clock.now_ns()) for _ in range(6)] == [5, 5, 5, 5, 1, 0]


def test_what_a_device_lost_repeated_or_mixed_up_is_counted(clock: ManualClock) -> None:
    now = clock.now_ns()
    counts = [(0, 0), (1, 10), (1, 10), (5, 20), (4, 15), (6, 5), (7, 30)]
    rig = Rig(clock, lambda: ScriptedSensor([reading(sequence, now + stamp) for sequence, stamp in counts]))
    assert rig.tick(0.1) == [0, 1, 5, 7]
    statistics = rig.driver.statistics()
    assert statistics.num_duplicate == 1
    assert statistics.num_reordered == 2
    assert statistics.num_dropped == 4  # 2, 3, 4 and 6 were never told in time


def test_a_late_reading_is_delivered_and_counted(clock: ManualClock) -> None:
    script = [reading(0, clock.now_ns() - 6_000_000_000), reading(1, clock.now_ns())]
    rig = Rig(clock, lambda: ScriptedSensor(script), max_age_secs=5.0)
    assert rig.tick(0.1) == [0, 1]
    assert rig.driver.statistics().num_late == 1


def test_a_stamp_from_the_future_is_a_fault(clock: ManualClock) -> None:
    rig = Rig(clock, lambda: ScriptedSensor([reading(0, clock.now_ns() + 10_000_000_000)]))
    assert rig.tick(0.1) == []
    assert "ahead of the clock" in rig.driver.statistics().last_error


@pytest.mark.parametrize(
    ("said", "shown"),
    [(KeyError("colour"), "KeyError"), (MemoryError("no room"), "MemoryError"), ("nothing", "return a Reading or None")],
)
def test_whatever_a_plug_in_does_is_its_own_fault(clock: ManualClock, said: Any, shown: str) -> None:
    rig = Rig(clock, lambda: ScriptedSensor([said]))
    rig.tick(0.1)
    assert shown in rig.driver.statistics().last_error
    assert rig.driver.statistics().status == "quarantined"


def test_each_restart_is_a_fresh_instance_and_the_old_one_is_closed(clock: ManualClock) -> None:
    made: list[ScriptedSensor] = []

    def make() -> ScriptedSensor:
        made.append(ScriptedSensor([SensorError("broken")]))
        return made[-1]

    rig = Rig(clock, make)
    made = made[1:]  # the rig made one to learn the spec
    rig.tick(2.0)
    assert len(made) >= 2
    assert [(sensor.opened, sensor.closed) for sensor in made[:-1]] == [(1, 1)] * (len(made) - 1)


def test_a_device_that_comes_back_as_something_else_stays_out(clock: ManualClock) -> None:
    made = iter([2, 2, 3, 2])
    rig = Rig(clock, lambda: ScriptedSensor([SensorError("broken")], size=next(made)))
    rig.tick(0.7)
    assert "another spec" in rig.driver.statistics().last_error
    rig.tick(1.0)
    assert rig.driver.statistics().num_restarts == 1


def test_a_wrong_configuration_is_the_callers_to_know(clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="inline"):
        Rig(clock, lambda: ScriptedSensor([], is_bounded=False), driver="inline")


def test_the_end_of_a_recording_is_no_fault(clock: ManualClock, context: SensorContext) -> None:
    config = SyntheticConfig(rate_hz=10, num_readings=5)
    rig = Rig(clock, lambda: SyntheticSensor(config, context))
    assert rig.tick(2.0) == list(range(5))
    statistics = rig.driver.statistics()
    assert (statistics.status, statistics.num_faults) == ("exhausted", 0)


def test_without_a_free_slot_the_summary_still_goes_out(synthetic: Callable[..., Rig]) -> None:
    rig = synthetic(num_slots=2)
    held = []
    for _ in range(6):
        rig.driver.poll(rig.clock.now_ns())
        lease = rig.driver.read_next()
        if lease is not None:
            held.append(lease)
        rig.clock.advance(100_000_000)
    records = rig.summaries()
    assert len(held) == 2
    assert [bool(flags & DEMOTED) for flags in records["flags"]] == [False, False, True, True, True, True]
    assert rig.driver.statistics().num_dropped == 4
    for lease in held:
        lease.release()
    assert rig.tick(0.2)


def test_reading_the_next_the_freshest_and_waiting(synthetic: Callable[..., Rig]) -> None:
    rig = synthetic()
    rig.clock.advance(450_000_000)
    rig.driver.poll(rig.clock.now_ns())
    with rig.driver.read_next() as lease:  # type: ignore[union-attr]
        assert lease.meta.sequence == 0
    with rig.driver.read_freshest(60_000_000) as lease:  # type: ignore[union-attr]
        assert lease.meta.sequence == 4
    assert rig.driver.read_next() is None
    with rig.driver.read_block(1.0) as lease:
        assert lease.meta.sequence == 5
    rig.clock.advance(150_000_000)
    rig.driver.poll(rig.clock.now_ns())
    rig.clock.advance(100_000_000)
    assert rig.driver.read_freshest(60_000_000) is None


def test_waiting_for_a_silent_source_ends(clock: ManualClock) -> None:
    rig = Rig(clock, lambda: ScriptedSensor([]))
    with pytest.raises(MailboxEmpty, match="within 2 s"):
        rig.driver.read_block(2.0)


def test_a_source_on_a_thread_delivers(synthetic: Callable[..., Rig]) -> None:
    rig = synthetic(driver="thread")
    assert not rig.driver.is_inline
    with rig.driver.read_block(WAIT_SECS) as lease:
        assert lease.meta.sequence == 0
    rig.clock.advance(100_000_000)
    rig.driver.poll(rig.clock.now_ns())
    with rig.driver.read_block(WAIT_SECS) as lease:
        assert lease.meta.sequence == 1
    rig.driver.close()
    rig.driver.close()
    assert rig.driver.statistics().status == "closed"


def test_what_a_thread_raised_is_kept_and_shown(clock: ManualClock) -> None:
    made: list[ScriptedSensor] = []
    closed = threading.Event()

    class Failing(ScriptedSensor):
        def close(self) -> None:
            closed.set()

    def make() -> ScriptedSensor:
        made.append(Failing([ZeroDivisionError("in the driver's own code")], is_bounded=False))
        return made[-1]

    rig = Rig(clock, make)
    assert closed.wait(WAIT_SECS)
    rig.driver.poll(clock.now_ns())
    assert rig.driver.statistics().status == "quarantined"
    assert "ZeroDivisionError: in the driver's own code" in rig.driver.statistics().last_error


def test_a_source_that_hangs_is_quarantined_by_the_clock_and_comes_back(
    synthetic: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    write = SyntheticSensor._write

    def noticed(self: SyntheticSensor, out: np.ndarray, at_ns: int, fault: Any) -> None:
        if fault is not None:
            hangs.set()
        write(self, out, at_ns, fault)

    monkeypatch.setattr(SyntheticSensor, "_write", noticed)
    rig = synthetic("hang", hang_secs=1.0)
    rig.clock.advance(1_000_000_000)
    rig.driver.poll(rig.clock.now_ns())
    assert hangs.wait(WAIT_SECS)
    rig.driver.poll(rig.clock.now_ns())
    assert rig.driver.statistics().status == "running"
    rig.clock.advance(1_100_000_000)
    rig.driver.poll(rig.clock.now_ns())
    statistics = rig.driver.statistics()
    assert statistics.status == "quarantined"
    assert "has not come back" in statistics.last_error
    while rig.driver.read_next() is not None:
        pass
    rig.clock.advance(600_000_000)
    rig.driver.poll(rig.clock.now_ns())
    with rig.driver.read_block(WAIT_SECS) as lease:
        assert lease.meta.sequence == 10
    rig.driver.poll(rig.clock.now_ns())
    assert rig.driver.statistics().status == "running"
    rig.driver.close()


def test_a_device_that_can_not_be_freed_takes_two_threads_and_no_more(clock: ManualClock) -> None:
    released, entered = threading.Event(), threading.Semaphore(0)
    made: list[StuckSensor] = []

    def make() -> StuckSensor:
        made.append(StuckSensor(released, entered))
        return made[-1]

    rig = Rig(clock, make, hang_secs=1.0, max_backoff_secs=1.0, num_slots=4)
    for _ in range(2):
        assert entered.acquire(timeout=WAIT_SECS)
        rig.driver.poll(clock.now_ns())
        clock.advance(1_100_000_000)
        rig.driver.poll(clock.now_ns())
        assert rig.driver.statistics().status == "quarantined"
        clock.advance(1_100_000_000)
        rig.driver.poll(clock.now_ns())
    rig.tick(20.0)
    assert len(made) == 3  # one to learn the spec, and two that hang
    assert rig.driver.statistics().num_faults == 2
    assert rig.driver.statistics().status == "quarantined"
    released.set()
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("sensor-scripted")]
    for thread in threads:
        thread.join(WAIT_SECS)
    rig.tick(2.0)
    assert len(made) == 4
    rig.driver.close()


def test_what_comes_out_of_an_abandoned_thread_is_not_published(clock: ManualClock) -> None:
    entered, released, ended = threading.Event(), threading.Event(), threading.Event()

    class LateSensor(ScriptedSensor):
        def read_into(self, out: np.ndarray) -> Reading | None:
            entered.set()
            released.wait()
            out[:] = 1.0
            return reading(0, clock.now_ns())

        def close(self) -> None:
            if released.is_set():
                ended.set()

    rig = Rig(clock, lambda: LateSensor([], is_bounded=False), hang_secs=1.0, backoff_secs=30.0)
    assert entered.wait(WAIT_SECS)
    rig.driver.poll(clock.now_ns())
    clock.advance(1_100_000_000)
    rig.driver.poll(clock.now_ns())
    released.set()
    assert ended.wait(WAIT_SECS)
    assert rig.driver.statistics().num_readings == 0
    assert len(rig.summaries()) == 0
    rig.driver.close()
