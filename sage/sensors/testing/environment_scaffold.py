"""The template of an installable package with one environment. It runs, and passes the conformance kit.

Invariant: no file is overwritten; the directory is new or empty.
"""

from __future__ import annotations

from pathlib import Path

from sage.sensors.testing.scaffold import write_files

_README = """\
# {class_name}Environment

The environment kind `{name}` for SAGE.

    pip install -e '.[test]'
    sage environments check {name}
    pytest

Then, in a SAGE config:

    environments:
      - {{kind: {name}}}

    policy:
      rules:
        - {{decision: allow, effect: simulated, target: world}}

`sage_environment_{name}.py` is the whole environment: a point on a line, which the action moves, and a goal.
Put your world in `reset` and `step` of `{class_name}World`.
"""

_MODULE = '''\
"""The environment kind "{name}". Replace the line in `{class_name}World` by your world.

Invariant: the world moves in `step` alone; equal seeds and equal actions give equal readings.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from sage.sensors import SensorContext, TensorSpec
from sage.sensors.environments.stepped import Control, Step, SteppedConfig, SteppedEnvironment, View


class {class_name}Config(SteppedConfig):
    """length: of the line on either side of 0.  max_steps: of an episode."""

    kind: Literal["{name}"] = "{name}"
    length: float = Field(5.0, gt=0)
    max_steps: int = Field(50, ge=1)


class {class_name}Environment(SteppedEnvironment):
    """Sensors NAME.place, NAME.reward and NAME.reset; effector NAME.action."""

    Config = {class_name}Config
    contract_version = 1

    def __init__(self, config: {class_name}Config, context: SensorContext) -> None:
        super().__init__(config, context, {class_name}World(config))


class {class_name}World:
    """A point on a line that looks for a goal. An episode ends at the goal, or after max_steps."""

    def __init__(self, config: {class_name}Config) -> None:
        self._config = config
        self._random = np.random.default_rng(config.seed)
        self._place = 0.0
        self._goal = 0.0
        self._num_steps = 0

    @property
    def views(self) -> tuple[View, ...]:
        """What the world shows: a sensor for each."""
        view = View(
            name="place",
            tensor=TensorSpec(shape=(2,), dtype="float32"),
            observes=("position", "1"),
            channels=("place", "goal"),
        )
        return (view,)

    @property
    def control(self) -> Control:
        """What an action is: the move, -1 to 1."""
        return Control(low=(-1.0,), high=(1.0,), channels=("move",))

    def open(self) -> None:
        """Take what the world needs; raise SensorUnavailable with a remedy when it is missing."""

    def reset(self, seed: int | None) -> tuple[np.ndarray, ...]:
        """The first views of an episode; with a seed everything random starts again."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self._place = 0.0
        self._goal = float(self._random.uniform(-self._config.length, self._config.length))
        self._num_steps = 0
        return self._views()

    def step(self, values: np.ndarray) -> Step:
        """One action, and what followed."""
        self._place = float(np.clip(self._place + values[0], -self._config.length, self._config.length))
        self._num_steps += 1
        is_over = abs(self._place - self._goal) < 0.5
        return Step(
            views=self._views(),
            reward=1.0 if is_over else -0.01,
            is_over=is_over,
            is_cut=not is_over and self._num_steps >= self._config.max_steps,
        )

    def close(self) -> None:
        """Give back what `open` took; safe to call twice."""

    def _views(self) -> tuple[np.ndarray, ...]:
        return (np.array([self._place, self._goal], dtype=np.float32),)
'''

_TEST = """\
from collections.abc import Callable

import pytest
from sage_environment_{name} import {class_name}Environment


@pytest.mark.sage_environment(kind={class_name}Environment)
def test_it_is_an_environment(sage_check: Callable[[], None]) -> None:
    sage_check()
"""

_FILES = {
    "README.md": _README,
    "sage_environment_{name}.py": _MODULE,
    "tests/test_{name}.py": _TEST,
}


def write_environment_package(name: str, directory: Path) -> tuple[Path, ...]:
    """Write the package for environment kind `name` into `directory`; the files written. Errors as of
    `scaffold.write_package`.
    """
    return write_files("environment", _FILES, name, directory)
