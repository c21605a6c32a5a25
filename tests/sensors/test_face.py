"""What `import sage.sensors` offers, and that it stays light."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sage.sensors


@pytest.mark.parametrize("name", sage.sensors.__all__)
def test_every_public_name_is_importable(name: str) -> None:
    assert getattr(sage.sensors, name).__name__ == name
    assert name in dir(sage.sensors)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sensr'"):
        _ = sage.sensors.Sensr  # type: ignore[attr-defined]


def test_the_contract_is_imported_without_torch_and_without_a_driver() -> None:
    script = (
        "import sys; from sage.sensors import Action, Effector, EffectorSpec, Reading, Sensor, SensorSpec;"
        " print([name for name in ('torch', 'psutil', 'sage.sensors.driver') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
