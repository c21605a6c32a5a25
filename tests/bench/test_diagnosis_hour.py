"""The loop with its diagnosis on recorded host telemetry: readings come when due, and no cause is named."""

from __future__ import annotations

import numpy as np
import pytest
from _diagnosis_hour import RecordedConfig, RecordedSensor, Watched, hour_bars, hour_tables, watch_hour
from _fusion_host import load_hour

from sage.app.diagnosis.monitor import NAMED, DiagnosisFigures
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorError, SourceExhausted


def test_each_reading_is_delivered_once_when_it_is_due() -> None:
    times, values = load_hour()["ram"]
    clock = ManualClock()
    sensor = RecordedSensor(RecordedConfig(name="ram"), SensorContext(clock=clock, epoch_ns=clock.now_ns()))
    out = np.zeros(values.shape[1], np.float32)
    with pytest.raises(SensorError, match="closed"):
        sensor.read_into(out)
    sensor.open()
    found = []
    for _ in range(round(times[9] * 100) + 1):
        if sensor.read_into(out) is not None:
            found.append(out.copy())
        clock.advance(10_000_000)
    assert len(found) == 10
    assert np.array_equal(found, values[:10].astype(np.float32))
    clock.advance(10_000 * 1_000_000_000)
    for _ in range(len(times) - 10):
        assert sensor.read_into(out) is not None
    with pytest.raises(SourceExhausted):
        sensor.read_into(out)


def test_a_named_cause_misses_the_bar_and_is_in_the_table() -> None:
    found = Watched(
        secs=3720.0,
        events=((12.0, NAMED, "disk reads false values"),),
        figures=DiagnosisFigures(num_named=1),
        distrusted={"disk": 0.01},
    )
    (bar,) = hour_bars(found, is_whole=True)
    assert bar.is_met is False
    assert hour_bars(found, is_whole=False)[0].is_met is None
    assert hour_tables(found)[0].rows == (("12", NAMED, "disk reads false values"),)


@pytest.mark.slow
def test_a_minute_of_the_recording_names_nothing() -> None:
    found = watch_hour(60.0)
    assert found.secs == pytest.approx(60.0, abs=0.2)
    assert found.events == ()
    assert set(found.distrusted) >= {"cpu", "ram", "disk", "network", "process"}
