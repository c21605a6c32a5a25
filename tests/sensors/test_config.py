import pytest
from pydantic import ValidationError

from sage.sensors.config import SensorConfig
from sage.sensors.devices.clock import ClockConfig
from sage.sensors.devices.synthetic import SyntheticConfig


def test_a_sensor_without_a_name_is_called_after_its_kind() -> None:
    assert ClockConfig().name == "clock"
    assert SensorConfig(kind="made_up").name == "made_up"
    assert ClockConfig(name="daylight").name == "daylight"
    assert ClockConfig(name="arm.wrist/2").name == "arm.wrist/2"


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"colour": "red"}, "colour"),
        ({"hang_secs": 0}, "hang_secs"),
        ({"hang_secs": float("nan")}, "hang_secs"),
        ({"driver": "process"}, "driver"),
        ({"kind": "host"}, "kind"),
        ({"cycles_secs": (1.0, -2.0)}, "cycles_secs"),
        ({"name": ""}, "name"),
        ({"name": "../../x"}, "begin with no dot"),
        ({"name": "a/../x"}, "begin with no dot"),
        ({"name": "/etc/x"}, "printable characters without"),
        ({"name": "a//b"}, "printable characters without"),
        ({"name": "a\\b"}, "printable characters without"),
        ({"name": "a\nb"}, "printable characters"),
        ({"name": "x" * 129}, "up to 128"),
        ({"backoff_secs": 5, "max_backoff_secs": 1}, "max_backoff_secs"),
    ],
)
def test_an_error_in_a_config_has_its_key(given: dict[str, object], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        ClockConfig.model_validate(given)


def test_a_shape_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(ValidationError, match="at most 67,108,864 elements"):
        SyntheticConfig(shape=(100_000, 100_000))
    assert SyntheticConfig(shape=(8192, 8192)).shape == (8192, 8192)


def test_a_config_cannot_be_changed() -> None:
    config = ClockConfig()
    with pytest.raises(ValidationError):
        config.name = "other"


def test_nan_faults_are_refused_where_the_dtype_cannot_hold_them() -> None:
    with pytest.raises(ValidationError, match="uint8"):
        SyntheticConfig.model_validate(
            {"dtype": "uint8", "faults": [{"at_secs": 0, "for_secs": 1, "fault": "nan"}]}
        )
