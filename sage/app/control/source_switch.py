"""The verbs that switch a source of a running session off and on: `sage sensors disable` and `enable`.

Invariant: the layout of the loop stays as the configuration made it; a source that is off has no reading, its
device is closed, and its place stays empty until it is on again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sage.app.control.server import Verb
from sage.app.control.session_control import SessionControl
from sage.app.terminal.errors import UserError, nearest
from sage.runtime.loop import Loop
from sage.sensors.driver.sensor_driver import SensorDriver


class SourceSwitch:
    """On the loop's thread, between two ticks."""

    def __init__(self, loop: Loop, control: SessionControl) -> None:
        self._loop = loop
        self._control = control

    @property
    def verbs(self) -> dict[str, Verb]:
        return {
            "disable_source": lambda request: self._switch(request, SensorDriver.disable, "disabled"),
            "enable_source": lambda request: self._switch(request, SensorDriver.enable, "enabled"),
        }

    def _switch(
        self, request: dict[str, Any], switch: Callable[[SensorDriver], bool], event: str
    ) -> dict[str, Any]:
        """result: whether that changed anything, and the status of the source then. UserError."""
        driver = self._driver(request.get("name"))

        def change() -> bool:
            has_changed = switch(driver)
            if has_changed:
                self._loop.note("control", f"{driver.spec.name} {event}")
            return has_changed

        has_changed = self._control.between_ticks(change)
        return {"has_changed": has_changed, "status": driver.statistics().status}

    def _driver(self, name: object) -> SensorDriver:
        drivers = {driver.spec.name: driver for driver in self._loop.senses.drivers}
        if not isinstance(name, str) or name not in drivers:
            raise UserError(f"{name}: no source of this session: {nearest(str(name), drivers)}")
        return drivers[name]
