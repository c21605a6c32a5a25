import threading
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorError, SensorUnavailable
from sage.sensors.devices.synthetic import Signal, SyntheticConfig, SyntheticSensor


def make(context: SensorContext, **settings: Any) -> SyntheticSensor:
    sensor = SyntheticSensor(SyntheticConfig.model_validate({"rate_hz": 10, **settings}), context)
    sensor.open()
    return sensor


def faulty(context: SensorContext, fault: str, size: float = 1.0) -> SyntheticSensor:
    """The fault is active from 1 to 2 s."""
    return make(context, faults=[{"at_secs": 1.0, "for_secs": 1.0, "fault": fault, "size": size}])


def test_equal_configs_give_equal_readings_at_any_rate_of_reads(
    clock: ManualClock, context: SensorContext, read_until: Any
) -> None:
    one = [values for _, values in read_until(make(context), clock, 2.0)]
    late_clock = ManualClock(context.epoch_ns)
    late = make(SensorContext(clock=late_clock, epoch_ns=context.epoch_ns))
    late_clock.advance(2_000_000_000)
    two = [values for _, values in read_until(late, late_clock, 0.0)]
    assert len(one) == 21
    np.testing.assert_array_equal(one, two)


def test_readings_stand_on_a_grid_from_the_epoch(
    clock: ManualClock, context: SensorContext, read_until: Any
) -> None:
    delivered = read_until(make(context), clock, 1.0)
    assert [reading.captured_ns - context.epoch_ns for reading, _ in delivered] == [
        k * 100_000_000 for k in range(11)
    ]
    assert [reading.sequence for reading, _ in delivered] == list(range(11))


def test_a_source_is_predictable_from_another_with_the_same_latent(
    clock: ManualClock, context: SensorContext, read_until: Any
) -> None:
    def world(**settings: Any) -> np.ndarray:
        at = ManualClock(context.epoch_ns)
        sensor = make(SensorContext(clock=at, epoch_ns=context.epoch_ns), noise_std=0.01, **settings)
        return np.array([values for _, values in read_until(sensor, at, 20.0)])

    def unexplained(target: np.ndarray, source: np.ndarray) -> float:
        weights = np.linalg.lstsq(source, target, rcond=None)[0]
        return float(np.var(target - source @ weights) / np.var(target))

    target = world(seed=1, latent_seed=5)
    assert unexplained(target, world(seed=2, latent_seed=5)) < 0.01
    assert unexplained(target, world(seed=2, latent_seed=6)) > 0.5


def test_images_are_in_range(context: SensorContext) -> None:
    sensor = make(context, shape=(6, 8, 3), dtype="uint8", noise_std=3.0)
    out = np.zeros((6, 8, 3), dtype=np.uint8)
    assert sensor.read_into(out) is not None
    assert 64 < out.mean() < 192


def test_while_unplugged_it_raises_and_does_not_open(clock: ManualClock, context: SensorContext) -> None:
    sensor = faulty(context, "raise")
    out = np.zeros(8, dtype=np.float32)
    clock.advance(1_000_000_000)
    for _ in range(10):
        sensor.read_into(out)
    with pytest.raises(SensorError, match="unplugged"):
        sensor.read_into(out)
    sensor.close()
    with pytest.raises(SensorUnavailable):
        sensor.open()
    clock.advance(1_000_000_000)
    sensor.open()
    assert sensor.read_into(out) is not None


class NoticingClock(ManualClock):
    """Sets `was_read` when the time is read."""

    def __init__(self, start_ns: int) -> None:
        super().__init__(start_ns)
        self.was_read = threading.Event()

    def now_ns(self) -> int:
        self.was_read.set()
        return super().now_ns()


def test_a_hang_ends_when_the_sensor_is_closed(context: SensorContext) -> None:
    clock = NoticingClock(context.epoch_ns)
    sensor = faulty(SensorContext(clock=clock, epoch_ns=context.epoch_ns), "hang")
    assert not sensor.spec.is_bounded
    clock.advance(1_000_000_000)
    out = np.zeros(8, dtype=np.float32)
    for _ in range(10):
        sensor.read_into(out)
    errors: list[SensorError] = []

    def read() -> None:
        try:
            sensor.read_into(out)
        except SensorError as error:
            errors.append(error)

    clock.was_read.clear()
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert clock.was_read.wait(10)
    assert errors == []
    sensor.close()
    thread.join(10)
    assert "hung until it was closed" in str(errors[0])


def test_another_shape_does_not_fit(clock: ManualClock, context: SensorContext, read_until: Any) -> None:
    with pytest.raises(ValueError, match="broadcast"):
        read_until(faulty(context, "shape"), clock, 1.5)


def test_stale_is_the_last_reading_again(clock: ManualClock, context: SensorContext, read_until: Any) -> None:
    delivered = read_until(faulty(context, "stale"), clock, 2.5)
    during = [reading for reading, _ in delivered[10:20]]
    assert {(reading.sequence, reading.captured_ns) for reading in during} == {
        (9, context.epoch_ns + 900_000_000)
    }
    np.testing.assert_array_equal(delivered[15][1], delivered[9][1])
    assert delivered[20][0].sequence == 10


def test_frozen_values_have_new_stamps(clock: ManualClock, context: SensorContext, read_until: Any) -> None:
    delivered = read_until(faulty(context, "frozen"), clock, 2.5)
    values = np.array([values for _, values in delivered])
    assert np.ptp(values[10:20], axis=0).max() == 0.0
    assert np.ptp(values[20:], axis=0).max() > 0.0
    assert [reading.sequence for reading, _ in delivered] == list(range(26))


def test_a_flood_is_more_readings_with_stamps_between(
    clock: ManualClock, context: SensorContext, read_until: Any
) -> None:
    delivered = read_until(faulty(context, "flood", size=20), clock, 3.0)
    stamps = np.array([reading.captured_ns for reading, _ in delivered]) - context.epoch_ns
    assert ((stamps >= 1e9) & (stamps < 2e9)).sum() == 200
    assert (np.diff(stamps) > 0).all()


@pytest.mark.parametrize(("fault", "shift"), [("bias", 3.0), ("noise", 0.0)])
def test_bias_and_noise_change_values_only(
    clock: ManualClock, context: SensorContext, read_until: Any, fault: str, shift: float
) -> None:
    delivered = read_until(faulty(context, fault, size=3.0), clock, 2.5)
    plain_clock = ManualClock(context.epoch_ns)
    plain = read_until(make(SensorContext(clock=plain_clock, epoch_ns=context.epoch_ns)), plain_clock, 2.5)
    extra = np.array([values for _, values in delivered]) - np.array([values for _, values in plain])
    assert np.abs(extra[:10]).max() == 0.0
    assert abs(extra[10:20].mean() - shift) < 1.0
    assert (extra[10:20].std() > 1.0) == (fault == "noise")
    assert np.abs(extra[20:]).max() == 0.0


def test_nan_is_written_where_the_schedule_says(
    clock: ManualClock, context: SensorContext, read_until: Any
) -> None:
    delivered = read_until(faulty(context, "nan", size=2), clock, 1.5)
    assert np.isnan(delivered[12][1]).tolist() == [True, True] + [False] * 6
    assert not np.isnan(delivered[9][1]).any()


def test_sources_of_one_view_differ_by_their_noise_alone() -> None:
    one, other = (Signal(config(seed, view_seed=7)) for seed in (1, 2))
    apart = Signal(config(2))
    differences = np.array([one.observe(at) - other.observe(at) for at in range(0, 10**11, 10**8)])
    assert abs(float(differences.std()) - 0.1 * 2**0.5) < 0.01
    assert float(np.std([one.observe(at) - apart.observe(at) for at in range(0, 10**11, 10**8)])) > 0.5


def config(seed: int, **settings: Any) -> SyntheticConfig:
    return SyntheticConfig(seed=seed, latent_size=2, noise_std=0.1, **settings)
