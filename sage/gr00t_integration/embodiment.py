"""What one robot sends to a policy and takes from it: cameras, states, actions and the language key.

Shipped as YAML files in `embodiments/`; other files have the same keys. Invariant: an Embodiment is
complete, and its names are unique in each modality.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator

from sage.errors import DataError, InputError
from sage.plain_yaml import load_plain
from sage.sensors.time_limits import TimeLimited
from sage.user_file import read_user_text

SHIPPED = Path(__file__).parent / "embodiments"
Representation = Literal["absolute", "relative", "delta"]


class _Part(TimeLimited):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class VideoPart(_Part):
    """views: name -> (height, width).  delta_indices: frames that are sent, counted from the newest, 0."""

    views: dict[str, tuple[int, int]] = Field(min_length=1)
    delta_indices: tuple[int, ...] = Field((0,), min_length=1)


class StatePart(_Part):
    """dims: name -> numbers.  delta_indices: as of video."""

    dims: dict[str, int] = Field(min_length=1)
    delta_indices: tuple[int, ...] = Field((0,), min_length=1)


class ActionKey(_Part):
    """dim: numbers.  low, high: the range of each, in the unit that the policy returns.
    representation: how the policy was trained; the server converts, and returns absolute values.
    """

    dim: int = Field(ge=1)
    low: float
    high: float
    representation: Representation = "absolute"
    is_eef: bool = False

    @model_validator(mode="after")
    def _low_below_high(self) -> ActionKey:
        if self.high <= self.low:
            raise InputError(f"high is {self.high}: give more than low, {self.low}")
        return self


class ActionPart(_Part):
    """keys: name -> ActionKey, in the order of one action vector.  horizon: steps in a chunk."""

    keys: dict[str, ActionKey] = Field(min_length=1)
    horizon: int = Field(ge=1, le=1024)


class Embodiment(_Part):
    """name: of the robot.  control_hz: steps of a chunk in a second.  language: key of the instruction.

    about: one line for people.
    """

    name: str = Field(min_length=1)
    about: str = ""
    control_hz: float = Field(gt=0)
    video: VideoPart
    state: StatePart
    action: ActionPart
    language: str = Field(min_length=1)

    @property
    def action_size(self) -> int:
        """Numbers in one step."""
        return sum(key.dim for key in self.action.keys.values())

    @property
    def action_channels(self) -> tuple[str, ...]:
        """A name for each number of a step, for example "single_arm.0"."""
        return tuple(f"{name}.{i}" for name, key in self.action.keys.items() for i in range(key.dim))

    @property
    def action_low(self) -> tuple[float, ...]:
        return tuple(key.low for key in self.action.keys.values() for _ in range(key.dim))

    @property
    def action_high(self) -> tuple[float, ...]:
        return tuple(key.high for key in self.action.keys.values() for _ in range(key.dim))

    def joined(self, actions: dict[str, np.ndarray]) -> np.ndarray:
        """(..., size) float32: the keys' arrays (..., D) side by side, in the embodiment's order."""
        return np.concatenate([actions[name] for name in self.action.keys], axis=-1).astype(np.float32)

    def parted(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """The inverse of `joined`: name -> (..., D) of (..., size)."""
        ends = np.cumsum([key.dim for key in self.action.keys.values()])
        return dict(zip(self.action.keys, np.split(values, ends[:-1], axis=-1)))


def shipped_embodiments() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load_embodiment(name_or_path: str | Path, base_dir: Path | None = None) -> Embodiment:
    """A shipped embodiment by name, or a YAML file. base_dir: what a relative path is relative to.

    InputError for an unknown name; DataError with the file and the key for content that is wrong.
    """
    path = SHIPPED / f"{name_or_path}.yaml"
    if "/" in str(name_or_path) or not path.is_file():
        path = (base_dir or Path.cwd()) / Path(name_or_path).expanduser()
    if not path.is_file():
        known = ", ".join(shipped_embodiments())
        raise InputError(
            f"embodiment {name_or_path}: no such file or name: give a YAML file or one of {known}"
        )
    try:
        data: Any = load_plain(read_user_text(path))
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    try:
        return Embodiment.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{path}: {where}: {first['msg']}: correct it") from None
