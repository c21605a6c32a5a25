"""The conformance kits under the name that device packages import; defined in `sage.sensors.testing`."""

from __future__ import annotations

from sage.sensors.testing.bench import CheckFailed, CheckResult
from sage.sensors.testing.conformance import CHECKS, check_sensor
from sage.sensors.testing.effector_conformance import EFFECTOR_CHECKS, check_effector
from sage.sensors.testing.environment_conformance import ENVIRONMENT_CHECKS, check_environment

__all__ = [
    "CHECKS",
    "EFFECTOR_CHECKS",
    "ENVIRONMENT_CHECKS",
    "CheckFailed",
    "CheckResult",
    "check_effector",
    "check_environment",
    "check_sensor",
]
