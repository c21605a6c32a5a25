"""The conformance kit on a kind, for a person: what `sage sensors check` prints.

Invariant: the sensor is the one a run would build, from the same configuration; only its clock differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sage.app.devices.kinds import configure_kind
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import Clock, ManualClock, RealClock
from sage.sensors.contract import Sensor, SensorContext, SensorUnavailable
from sage.sensors.testing.conformance import CheckResult, check_sensor

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_kind(kind: str, overrides: Sequence[str]) -> int:
    """Print one line for each check; 0 if all hold, else 1. UserError when the device or file is not
    there.
    """
    sensor_class, config = configure_kind(kind, overrides)
    try:
        tried: Sensor = sensor_class(config, _context(RealClock()))
        is_bounded = tried.spec.is_bounded
        tried.open()
        tried.close()
    except SensorUnavailable as error:
        raise UserError(f"sensor {kind}: {error}") from error
    # A sensor that never waits for the world is checked on a clock that is moved by hand, in no time.
    clock: Clock = ManualClock() if is_bounded else RealClock()
    context = _context(clock)

    def make() -> Sensor:
        sensor: Sensor = sensor_class(config, context)
        return sensor

    results = check_sensor(make, clock=clock)
    _render(results)
    return 0 if all(result.is_ok for result in results) else 1


def _context(clock: Clock) -> SensorContext:
    return SensorContext(clock=clock, epoch_ns=clock.now_ns())


def _render(results: Sequence[CheckResult]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table: Any = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", style="dim")
    for result in results:
        mark = "[green]holds[/green]" if result.is_ok else "[red]FAILS[/red]"
        table.add_row(mark, result.name.replace("_", " "), escape(result.detail))
    Console().print(table)
