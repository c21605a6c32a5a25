"""The conformance kit under the name that sensor packages import; defined in `sage.sensors.testing`."""

from __future__ import annotations

from sage.sensors.testing.conformance import CHECKS, CheckFailed, CheckResult, check_sensor

__all__ = ["CHECKS", "CheckFailed", "CheckResult", "check_sensor"]
