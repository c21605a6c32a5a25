from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sage_wind import WindConfig, WindSensor, velocity_of

from sage.mailbox import ManualClock
from sage.sensors import SensorContext

LOG = Path(__file__).parents[1] / "gusts.nmea"


@pytest.mark.sage_sensor(kind=WindSensor, path=LOG)
def test_it_is_a_sensor(sage_check: Callable[[], None]) -> None:
    sage_check()


@pytest.mark.parametrize(
    ("sentence", "velocity"),
    [
        (b"$WIMWV,90.0,R,10.0,M,A*28", (-10.0, 0.0)),
        (b"$WIMWV,90.0,R,36.0,K,A*2A", (-10.0, 0.0)),
        (b"$WIMWV,90.0,R,10.0,M,V*3F", None),  # the anemometer says that it is not valid
        (b"$WIMWV,90.0,R,11.0,M,A*28", None),  # the checksum is of another sentence
        (b"$WIMWV,90.0", None),
        (b"", None),
    ],
)
def test_sentences(sentence: bytes, velocity: tuple[float, float] | None) -> None:
    assert velocity_of(sentence, 0.0) == (None if velocity is None else pytest.approx(velocity))


def test_a_damaged_sentence_lowers_the_quality(sage_context: SensorContext, sage_clock: ManualClock) -> None:
    sensor = WindSensor(WindConfig(path=LOG), sage_context)
    out = np.zeros(2, dtype=np.float32)
    sensor.open()
    health = []
    for _ in range(60):
        sage_clock.advance(500_000_000)
        reading = sensor.read_into(out)
        health.append(reading.health if reading else "none")
    sensor.close()
    assert health[0] == ""
    assert "1 of the last 20 sentences are invalid" in health
    assert np.hypot(*out) < 20
