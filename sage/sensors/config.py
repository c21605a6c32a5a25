"""The configuration keys that all sensors, all effectors and all environments have.

Invariant: a config object is frozen and complete; an unknown key, a wrong type or NaN is refused when it is
made.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sage.errors import InputError

DriverMode = Literal["auto", "inline", "thread"]


class DeviceConfig(BaseModel):
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


class EnvironmentConfig(SupervisedConfig):
    """Base of each environment's `Config`. name: also the first part of its sensors' and effectors' names.

    hang_secs: of a call of any of its sensors and effectors; all of them are in quarantine after a fault.
    """


class EffectorConfig(DeviceConfig):
    """Base of each effector's `Config`.

    effect, target: what the policy's rules match.  timeout_secs: how long one `apply` may take; longer is a
    fault.
    """

    effect: str = Field(min_length=1)
    target: str = Field("self", min_length=1)
    timeout_secs: float = Field(0.05, gt=0)
