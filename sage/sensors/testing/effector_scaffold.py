"""The template of an installable package with one effector. It runs, and passes the conformance kit.

Invariant: no file is overwritten; the directory is new or empty.
"""

from __future__ import annotations

from pathlib import Path

from sage.sensors.testing.scaffold import write_files

_README = """\
# {class_name}Effector

The effector kind `{name}` for SAGE.

    pip install -e '.[test]'
    sage effectors check {name}
    pytest

Then, in a SAGE config:

    effectors:
      - {{kind: {name}}}

    policy:
      rules:
        - {{decision: allow, effect: {name}, target: self}}

`sage_effector_{name}.py` is the whole effector. It keeps its last values and moves nothing; put your
device in `open`, `_move`, `abort` and `close`.
"""

_MODULE = '''\
"""The effector kind "{name}". Replace `_move` by what your device does.

Invariant: what is returned as done is finite and within the ranges.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from sage.sensors import (
    Action,
    EffectorConfig,
    EffectorLimits,
    EffectorSpec,
    SensorContext,
    SensorError,
    TensorSpec,
)


class {class_name}Config(EffectorConfig):
    """reach: of both channels, in metres, to either side.  speed: the most they move in a second."""

    kind: Literal["{name}"] = "{name}"
    effect: str = "{name}"
    reach: float = Field(0.5, gt=0)
    speed: float = Field(1.0, gt=0)


class {class_name}Effector:
    """Two channels, x and y. Positions out of reach are limited; what is not finite is held."""

    Config = {class_name}Config
    contract_version = 1

    def __init__(self, config: {class_name}Config, context: SensorContext) -> None:
        self._position = np.zeros(2, dtype=np.float32)
        self._is_open = False
        self._is_held = False
        self._spec = EffectorSpec(
            name=config.name,
            effect=config.effect,
            target=config.target,
            tensor=TensorSpec(shape=(2,), dtype="float32"),
            low=(-config.reach,) * 2,
            high=(config.reach,) * 2,
            channels=("x", "y"),
            unit="m",
            timeout_secs=config.timeout_secs,
            limits=EffectorLimits(max_slew=(config.speed,) * 2),
        )

    @property
    def spec(self) -> EffectorSpec:
        return self._spec

    def open(self) -> None:
        """Take the device and arm it; raise SensorUnavailable with a remedy when it is missing."""
        self._is_open = True
        self._is_held = False

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        """Do `values` and return what was done. SAGE has applied the limits of the spec before."""
        if not self._is_open:
            raise SensorError(f"{{self._spec.name}}: apply while closed: call open() first")
        self._spec.check(values)
        if self._is_held or not np.isfinite(values).all():
            return Action(spec=self._spec, values=self._position, stamp_ns=stamp_ns, is_held=True)
        wanted = self._spec.limited(values)
        self._position = self._move(wanted)
        is_limited = bool((self._position != values).any())
        return Action(spec=self._spec, values=self._position, stamp_ns=stamp_ns, is_limited=is_limited)

    def abort(self) -> None:
        """Stop the device now, from any thread; it holds until it is opened again."""
        self._is_held = True

    def close(self) -> None:
        """Give the device back; safe to call twice."""
        self._is_open = False

    def _move(self, wanted: np.ndarray) -> np.ndarray:
        """Move the device; return where it is now."""
        return wanted.copy()
'''

_TEST = """\
from collections.abc import Callable

import pytest
from sage_effector_{name} import {class_name}Effector


@pytest.mark.sage_effector(kind={class_name}Effector)
def test_it_is_an_effector(sage_check: Callable[[], None]) -> None:
    sage_check()
"""

_FILES = {
    "README.md": _README,
    "sage_effector_{name}.py": _MODULE,
    "tests/test_{name}.py": _TEST,
}


def write_effector_package(name: str, directory: Path) -> tuple[Path, ...]:
    """Write the package for effector kind `name` into `directory`; the files written. Errors as of
    `scaffold.write_package`.
    """
    return write_files("effector", _FILES, name, directory)
