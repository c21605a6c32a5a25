"""`sage sensors check`, `sage environments check`: the conformance kit on one kind.

Invariant: the device is the one that a run builds from the same configuration; only its clock may differ.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from sage.app.config.registry import plugins
from sage.app.devices.kinds import configure_kind, construct
from sage.app.terminal.errors import UserError
from sage.app.terminal.streams import printing_to_stderr
from sage.errors import pass_on
from sage.mailbox.clock import Clock, ManualClock, RealClock
from sage.sensors.contract import SensorContext, SensorUnavailable
from sage.sensors.driver.worker import close_quietly
from sage.sensors.testing.bench import CheckResult
from sage.sensors.testing.conformance import check_sensor
from sage.sensors.testing.effector_conformance import check_effector
from sage.sensors.testing.environment_conformance import check_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def check_kind(kind: str, overrides: Sequence[str], *, json_output: bool = False) -> int:
    """Print one line for each check; 0 if all hold, else 1. UserError when the device or a file is
    missing.
    """
    is_effector = kind in plugins("effectors") and kind not in plugins("sensors")
    with printing_to_stderr():
        results = _check_effector(kind, overrides) if is_effector else _check_sensor(kind, overrides)
    return _report(kind, results, json_output=json_output)


def check_effector_kind(kind: str, overrides: Sequence[str], *, json_output: bool = False) -> int:
    """As `check_kind`, for an effector alone."""
    with printing_to_stderr():
        results = _check_effector(kind, overrides)
    return _report(kind, results, json_output=json_output)


def check_environment_kind(kind: str, overrides: Sequence[str], *, json_output: bool = False) -> int:
    """As `check_kind`, for an environment."""
    with printing_to_stderr():
        results = _check_environment(kind, overrides)
    return _report(kind, results, json_output=json_output)


def _report(kind: str, results: tuple[CheckResult, ...], *, json_output: bool) -> int:
    is_good = all(result.is_ok for result in results)
    if json_output:
        checks = [dataclasses.asdict(result) for result in results]
        sys.stdout.write(json.dumps({"kind": kind, "is_ok": is_good, "checks": checks}) + "\n")
    else:
        _render(results)
    return 0 if is_good else 1


def _check_sensor(kind: str, overrides: Sequence[str]) -> tuple[CheckResult, ...]:
    """A bounded sensor is checked on a manual clock, which takes no time; any other on the real one."""
    sensor_class, config = configure_kind("sensors", kind, overrides)
    tried = construct(sensor_class, config, _context(RealClock()))
    _open_once(tried, f"sensor {kind}")
    clock: Clock = ManualClock() if _are_bounded(lambda: (tried,)) else RealClock()
    context = _context(clock)
    return check_sensor(lambda: construct(sensor_class, config, context), clock=clock)


def _check_effector(kind: str, overrides: Sequence[str]) -> tuple[CheckResult, ...]:
    effector_class, config = configure_kind("effectors", kind, overrides)
    clock = RealClock()
    context = _context(clock)
    _open_once(construct(effector_class, config, context), f"effector {kind}")
    return check_effector(lambda: construct(effector_class, config, context), clock=clock)


def _check_environment(kind: str, overrides: Sequence[str]) -> tuple[CheckResult, ...]:
    environment_class, config = configure_kind("environments", kind, overrides)
    tried = construct(environment_class, config, _context(RealClock()))
    _open_once(tried, f"environment {kind}")
    clock: Clock = ManualClock() if _are_bounded(tried.sensors) else RealClock()
    context = _context(clock)
    return check_environment(lambda: construct(environment_class, config, context), clock=clock)


def _open_once(device: Any, name: str) -> None:
    """So that a missing device is one line, and not ten failed checks."""
    try:
        device.open()
    except SensorUnavailable as error:
        raise UserError(f"{name}: {error}") from error
    except BaseException as error:  # around a plug-in: the checks show it
        pass_on(error)
        return
    finally:
        close_quietly(device)


def _are_bounded(sensors: Callable[[], Iterable[Any]]) -> bool:
    """False where a spec cannot be read: the checks show it."""
    try:
        return all(sensor.spec.is_bounded for sensor in sensors())
    except BaseException as error:  # around a plug-in
        pass_on(error)
        return False


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
