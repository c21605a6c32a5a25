"""The template of an installable package with one sensor. It runs, and passes the conformance kit.

Invariant: no file is overwritten; the directory is new or empty.
"""

from __future__ import annotations

import keyword
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from sage.errors import InputError

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "sage-{what}-{dashed}"
version = "0.1.0"
description = "The {what} kind '{name}' for SAGE"
readme = "README.md"
requires-python = ">=3.10"
dependencies = ["sage-runtime", "numpy>=1.26", "pydantic>=2.7"]

[project.optional-dependencies]
test = ["pytest>=8"]

[project.entry-points."sage.{what}s"]
{name} = "sage_{what}_{name}:{class_name}{title}"

[tool.setuptools]
py-modules = ["sage_{what}_{name}"]
"""

_README = """\
# {class_name}Sensor

The sensor kind `{name}` for SAGE.

    pip install -e '.[test]'
    sage sensors check {name}
    pytest
    pip wheel --no-deps --wheel-dir dist .

`pytest` runs the conformance kit of SAGE, one test a check. `dist` has the package as one file, for another
machine. Then, in a SAGE config:

    sensors:
      - kind: {name}
        name: my_{name}

`sage_sensor_{name}.py` is the whole sensor. It generates a triangle wave; put your device in `open`,
`read_into` and `close`. If a read waits for the device, set `is_bounded=False`: SAGE then reads the sensor on
a thread of its own.
"""

_MODULE = '''\
"""The sensor kind "{name}". Replace the wave in `read_into` by what your device measures.

Invariant: a reading is captured on a grid of `period_secs` from the run's epoch.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from sage.sensors import Reading, SensorConfig, SensorContext, SensorError, SensorSpec, TensorSpec


class {class_name}Config(SensorConfig):
    """height: of the wave, in volts.  period_secs: time between readings."""

    kind: Literal["{name}"] = "{name}"
    height: float = Field(1.0, gt=0)
    period_secs: float = Field(0.1, gt=0)


class {class_name}Sensor:
    """Two channels: a triangle wave of 10 readings, and its slope. Bounded: a read never waits."""

    Config = {class_name}Config
    contract_version = 1

    def __init__(self, config: {class_name}Config, context: SensorContext) -> None:
        self._config = config
        self._clock = context.clock
        self._epoch_ns = context.epoch_ns
        self._period_ns = round(config.period_secs * 1e9)
        self._is_open = False
        self._next_step = 0
        self._spec = SensorSpec(
            name=config.name,
            modality="physical",
            tensor=TensorSpec(shape=(2,), dtype="float32"),
            period_ns=self._period_ns,
            observes=("voltage", "V"),
            channels=("wave", "slope"),
            is_bounded=True,
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        """Take the device; raise SensorUnavailable with a remedy when it is missing."""
        self._next_step = max(0, (self._clock.now_ns() - self._epoch_ns) // self._period_ns)
        self._is_open = True

    def read_into(self, out: np.ndarray) -> Reading | None:
        """Write all of `out`; None when there is no new reading."""
        if not self._is_open:
            raise SensorError(f"{{self._spec.name}}: read while closed: call open() first")
        now_ns = self._clock.now_ns()
        step = self._next_step
        captured_ns = self._epoch_ns + step * self._period_ns
        if now_ns < captured_ns:
            return None
        self._next_step += 1
        phase = step % 10
        out[0] = self._config.height * (phase / 5 if phase <= 5 else 2 - phase / 5)
        out[1] = self._config.height * (0.2 if phase < 5 else -0.2)
        return Reading(captured_ns=captured_ns, received_ns=now_ns, sequence=step, noise_std=0.0)

    def close(self) -> None:
        """Give the device back; safe to call twice."""
        self._is_open = False
'''

_TEST = """\
from collections.abc import Callable

import numpy as np
import pytest
from sage_sensor_{name} import {class_name}Config, {class_name}Sensor

from sage.mailbox import ManualClock
from sage.sensors import SensorContext


@pytest.mark.sage_sensor(kind={class_name}Sensor)
def test_it_is_a_sensor(sage_check: Callable[[], None]) -> None:
    sage_check()


def test_the_wave_rises_and_falls(sage_context: SensorContext, sage_clock: ManualClock) -> None:
    sensor = {class_name}Sensor({class_name}Config(height=2.0), sage_context)
    out = np.zeros(2, dtype=np.float32)
    seen = []
    sensor.open()
    for _ in range(10):
        assert sensor.read_into(out) is not None
        assert sensor.read_into(out) is None  # the next one is not due yet
        seen.append(float(out[0]))
        sage_clock.advance(100_000_000)
    sensor.close()
    assert max(seen) == seen[5] == 2.0
    assert seen[0] == 0.0
"""

_FILES = {
    "README.md": _README,
    "sage_sensor_{name}.py": _MODULE,
    "tests/test_{name}.py": _TEST,
}


def write_package(name: str, directory: Path) -> tuple[Path, ...]:
    """Write the package for sensor kind `name` (lower case, as a Python name) into `directory`; the files
    written.

    Raises InputError for a name that cannot be a kind, FileExistsError for a directory that is not empty. An
    OSError, e.g. of a full disk, leaves no directory.
    """
    return write_files("sensor", _FILES, name, directory)


def write_files(what: str, files: Mapping[str, str], name: str, directory: Path) -> tuple[Path, ...]:
    """Write pyproject.toml and templates by path; {name}, {dashed} and {class_name} are filled in.

    what: "sensor", "effector" or "environment".  Errors as of `write_package`.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InputError(
            f"name is {name!r}: give lower-case letters, digits and _, a letter first, e.g. 'wind_speed'"
        )
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise FileExistsError(f"{directory} is not empty: give a new or empty directory")
    words = {
        "what": what,
        "title": what.capitalize(),
        "name": name,
        "dashed": name.replace("_", "-").strip("-"),
        "class_name": "".join(part.capitalize() for part in name.split("_")),
    }
    written = []
    try:
        for path, text in {"pyproject.toml": _PYPROJECT, **files}.items():
            target = directory / path.format(**words)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.format(**words), encoding="utf-8")
            written.append(target)
    except OSError:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return tuple(written)
