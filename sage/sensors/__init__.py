"""Sensors and effectors: the contract, drivers, conformance kits and built-in devices.

Importing this package imports no torch, and no device's own package; a device imports that when it is made.
Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sage.mailbox.tensor_spec import TensorSpec
    from sage.sensors.config import EffectorConfig, SensorConfig
    from sage.sensors.connections import ConnectionPool, SharedConnection
    from sage.sensors.contract import (
        Action,
        Effector,
        EffectorSpec,
        Reading,
        Sensor,
        SensorContext,
        SensorError,
        SensorSpec,
        SensorUnavailable,
        SourceExhausted,
    )
    from sage.sensors.testing.conformance import CheckResult, check_sensor
    from sage.sensors.testing.effector_conformance import check_effector

__all__ = [
    "Action",
    "CheckResult",
    "ConnectionPool",
    "Effector",
    "EffectorConfig",
    "EffectorSpec",
    "Reading",
    "Sensor",
    "SensorConfig",
    "SensorContext",
    "SensorError",
    "SensorSpec",
    "SensorUnavailable",
    "SharedConnection",
    "SourceExhausted",
    "TensorSpec",
    "check_effector",
    "check_sensor",
]

_MODULES = {
    "sage.mailbox.tensor_spec": ("TensorSpec",),
    "sage.sensors.config": ("EffectorConfig", "SensorConfig"),
    "sage.sensors.connections": ("ConnectionPool", "SharedConnection"),
    "sage.sensors.testing.conformance": ("CheckResult", "check_sensor"),
    "sage.sensors.testing.effector_conformance": ("check_effector",),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PLACES.get(name, "sage.sensors.contract")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
