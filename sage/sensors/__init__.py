"""Sensors and effectors: the contract, drivers, conformance kits and built-in devices.

Importing this package imports no torch, and no device's own package; a device imports that when it is made.
Names are imported when they are first used.
"""

from typing import TYPE_CHECKING

from sage.lazy import lazy_face

if TYPE_CHECKING:
    from sage.mailbox.tensor_spec import TensorSpec
    from sage.sensors.config import EffectorConfig, EnvironmentConfig, SensorConfig
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
    from sage.sensors.environment import Environment, Level, PuzzleEnvironment
    from sage.sensors.limits import EffectorLimits
    from sage.sensors.testing.bench import CheckResult
    from sage.sensors.testing.conformance import check_sensor
    from sage.sensors.testing.effector_conformance import check_effector
    from sage.sensors.testing.environment_conformance import check_environment

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Action": "sage.sensors.contract",
        "CheckResult": "sage.sensors.testing.bench",
        "ConnectionPool": "sage.sensors.connections",
        "Effector": "sage.sensors.contract",
        "EffectorConfig": "sage.sensors.config",
        "EffectorLimits": "sage.sensors.limits",
        "EffectorSpec": "sage.sensors.contract",
        "Environment": "sage.sensors.environment",
        "EnvironmentConfig": "sage.sensors.config",
        "Level": "sage.sensors.environment",
        "PuzzleEnvironment": "sage.sensors.environment",
        "Reading": "sage.sensors.contract",
        "Sensor": "sage.sensors.contract",
        "SensorConfig": "sage.sensors.config",
        "SensorContext": "sage.sensors.contract",
        "SensorError": "sage.sensors.contract",
        "SensorSpec": "sage.sensors.contract",
        "SensorUnavailable": "sage.sensors.contract",
        "SharedConnection": "sage.sensors.connections",
        "SourceExhausted": "sage.sensors.contract",
        "TensorSpec": "sage.mailbox.tensor_spec",
        "check_effector": "sage.sensors.testing.effector_conformance",
        "check_environment": "sage.sensors.testing.environment_conformance",
        "check_sensor": "sage.sensors.testing.conformance",
    },
)

__all__ = [
    "Action",
    "CheckResult",
    "ConnectionPool",
    "Effector",
    "EffectorConfig",
    "EffectorLimits",
    "EffectorSpec",
    "Environment",
    "EnvironmentConfig",
    "Level",
    "PuzzleEnvironment",
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
    "check_environment",
    "check_sensor",
]
