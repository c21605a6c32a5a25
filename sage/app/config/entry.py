"""One sensor, effector or environment of a configuration."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_serializer


class DeviceEntry(BaseModel):
    """One sensor, effector or environment of a run.

    config: the kind's own `Config`, validated.  enabled: the run uses it.  optional: where the device is
    absent (SensorUnavailable) the run logs this and continues without it; otherwise it is an error.
    """

    model_config = ConfigDict(frozen=True)

    enabled: bool = True
    optional: bool = False
    config: Any

    @property
    def kind(self) -> str:
        return str(self.config.kind)

    @property
    def name(self) -> str:
        return str(self.config.name)

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        """As in a file: the kind's keys beside `enabled` and `optional`."""
        settings = self.config.model_dump(mode="json")
        names = {"kind": settings.pop("kind"), "name": settings.pop("name")}
        return {**names, "enabled": self.enabled, "optional": self.optional, **settings}
