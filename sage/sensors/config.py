"""The configuration keys that all sensors, all effectors and all environments have.

Invariant: a config object is frozen and complete; an unknown key, a wrong type or NaN is refused when it is
made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from sage.errors import InputError
from sage.sensors.limits import EffectorLimits
from sage.sensors.time_limits import TimeLimited

DriverMode = Literal["auto", "inline", "thread"]
MAX_NAME = 128


class DeviceConfig(TimeLimited):
    """kind: of the plug-in.  name: unique in a run; the kind when left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str = Field(min_length=1)
    name: str = Field("", min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _name_after_kind(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "name" in data:
            return data
        kind = data.get("kind", cls.model_fields["kind"].default)
        return {**data, "name": kind} if isinstance(kind, str) else data

    @field_validator("name")
    @classmethod
    def _name_is_of_a_file(cls, name: str) -> str:
        """Files and topics are named after a device; `/` in a name makes folders of them."""
        parts = name.split("/")
        is_path = all(part and not part.startswith(".") for part in parts) and "\\" not in name
        if len(name) > MAX_NAME or not name.isprintable() or (name and not is_path):
            shown = name if len(name) <= MAX_NAME else f"{name[:60]}..."
            raise InputError(
                f"name is {shown!r}: give up to {MAX_NAME} printable characters without \\; parts between"
                " / are not empty and begin with no dot"
            )
        return name


class SupervisedConfig(DeviceConfig):
    """What the driver of a sensor or an environment reads.

    hang_secs: a call that takes longer is a fault.  max_age_secs: a reading that is older when it arrives is
    late.
    backoff_secs, max_backoff_secs: pause before a device that failed is opened again, doubled at each
    failure.
    """

    hang_secs: float = Field(2.0, gt=0)
    max_age_secs: float = Field(5.0, gt=0)
    backoff_secs: float = Field(0.5, gt=0)
    max_backoff_secs: float = Field(30.0, gt=0)

    @model_validator(mode="after")
    def _backoff_grows(self) -> SupervisedConfig:
        if self.max_backoff_secs < self.backoff_secs:
            raise InputError(
                f"max_backoff_secs is {self.max_backoff_secs}: give at least backoff_secs, which is"
                f" {self.backoff_secs}"
            )
        return self


class SensorConfig(SupervisedConfig):
    """Base of each sensor's `Config`.

    isolate: run the sensor in a process of its own, so that a crash of its driver's code costs its own
    readings only; large readings arrive through shared memory without a copy.
    driver: "inline" reads on the loop's thread (bounded sensors only), "thread" on a thread of its own,
    "auto" chooses by the spec.
    """

    isolate: bool = False
    driver: DriverMode = "auto"


class LimitsConfig(TimeLimited):
    """What a run adds to an effector, whatever its plug-in does; see `sage.sensors.limits`.

    max_rate_hz: actions in any second.  max_slew: change a second, of every channel or by channel.
    workspace: [low, high] by channel, within the range.  A channel is a name of the spec, or its index.
    needs: modalities of the posture; while one of them is starved, every action is denied.
    dry_run: actions are decided and logged, and not applied; the device is not opened.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_rate_hz: float | None = Field(None, gt=0)
    max_slew: float | dict[str, float] | None = None
    workspace: dict[str, tuple[float, float]] = Field({})
    needs: tuple[str, ...] = ()
    dry_run: bool = False

    def limits_for(self, channels: Sequence[str], num: int) -> EffectorLimits:
        """For a spec with `num` channels of these names, if any. InputError for an unknown channel."""
        slew = self.max_slew
        by_index = (
            {} if slew is None or isinstance(slew, float) else _by_index("max_slew", slew, channels, num)
        )
        every = (slew,) * num if isinstance(slew, float) else ()
        boxes = _by_index("workspace", self.workspace, channels, num)
        return EffectorLimits(
            max_rate_hz=self.max_rate_hz,
            max_slew=every or (tuple(by_index.get(i, math.inf) for i in range(num)) if by_index else ()),
            low=tuple(boxes[i][0] if i in boxes else -math.inf for i in range(num)) if boxes else (),
            high=tuple(boxes[i][1] if i in boxes else math.inf for i in range(num)) if boxes else (),
        )


def _by_index(key: str, given: dict[str, Any], channels: Sequence[str], num: int) -> dict[int, Any]:
    numbers = {str(index): index for index in range(num)} | {name: i for i, name in enumerate(channels)}
    for name in given:
        if name not in numbers:
            raise InputError(f"{key}: there is no channel {name}: give one of {', '.join(numbers)}")
    return {numbers[name]: value for name, value in given.items()}


class EnvironmentConfig(SupervisedConfig):
    """Base of each environment's `Config`. name: also the first part of its sensors' and effectors' names.

    hang_secs: of a call of any of its sensors and effectors; all of them are in quarantine after a fault.
    effectors: limits of its effectors, by the part of their name after "NAME.".
    """

    effectors: dict[str, LimitsConfig] = Field({})


class EffectorConfig(DeviceConfig, LimitsConfig):
    """Base of each effector's `Config`.

    effect, target: what the policy's rules match.  timeout_secs: how long one `apply` may take; longer is a
    fault.
    """

    effect: str = Field(min_length=1)
    target: str = Field("self", min_length=1)
    timeout_secs: float = Field(0.05, gt=0)
