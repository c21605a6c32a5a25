"""A conformance kit as single cases, one a check, for the pytest plugin.

Invariant: a device of its own for each case, made from the same configuration; a plug-in that cannot be
imported or made is the failure of every case, never an error of the kit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from sage.errors import pass_on
from sage.mailbox.clock import Clock, ManualClock, RealClock
from sage.sensors.contract import SensorContext, SensorUnavailable
from sage.sensors.driver.worker import close_quietly
from sage.sensors.testing.bench import Bench, CheckFailed, CheckResult, run_check
from sage.sensors.testing.conformance import CHECKS
from sage.sensors.testing.effector_conformance import EFFECTOR_CHECKS, EffectorBench
from sage.sensors.testing.environment_conformance import ENVIRONMENT_CHECKS, EnvironmentBench
from sage.sensors.testing.plugin_call import describe_error

Group = Literal["sensors", "effectors", "environments"]
#: A kind of an installed package, a plug-in's class, or a function from a context to a device.
Target = str | type | Callable[[SensorContext], Any]
TIMEOUT_SECS = 20.0

_CHECKS: dict[Group, Mapping[str, Callable[[Any], str]]] = {
    "sensors": CHECKS,
    "effectors": EFFECTOR_CHECKS,
    "environments": ENVIRONMENT_CHECKS,
}
_BENCHES: dict[Group, type] = {
    "sensors": Bench,
    "effectors": EffectorBench,
    "environments": EnvironmentBench,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked. keys: of its configuration; for a function there are none."""

    group: Group
    target: Target
    keys: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.target if isinstance(self.target, str) else getattr(self.target, "__name__", "device")

    @property
    def checks(self) -> tuple[str, ...]:
        """Names of the group's checks, in order."""
        return tuple(_CHECKS[self.group])

    def check(self, name: str, folder: Path, timeout_secs: float = TIMEOUT_SECS) -> CheckResult:
        """Run one check. folder: what relative paths of the configuration are relative to.

        SensorUnavailable where this machine lacks the device.
        """
        missing: list[SensorUnavailable] = []
        benches: list[Any] = []

        def prepare() -> str:
            try:
                benches.append(self._bench(folder))
            except SensorUnavailable as error:
                missing.append(error)
            return ""

        prepared = run_check(name, prepare, timeout_secs=timeout_secs)
        if missing:
            raise missing[0]
        if not prepared.is_ok:
            return prepared
        check = functools.partial(_CHECKS[self.group][name], benches[0])
        return run_check(name, check, timeout_secs=timeout_secs)

    def _bench(self, folder: Path) -> Any:
        """With a manual clock where no read waits. SensorUnavailable where the device is missing."""
        real = RealClock()
        tried = self._maker(SensorContext(clock=real, epoch_ns=real.now_ns(), base_dir=folder))()
        try:
            is_bounded = self._is_bounded(tried)
            _open_once(tried)
        finally:
            close_quietly(tried)
        clock: Clock = ManualClock() if is_bounded else real
        make = self._maker(SensorContext(clock=clock, epoch_ns=clock.now_ns(), base_dir=folder))
        return _BENCHES[self.group](make=make, clock=clock)

    def _is_bounded(self, device: Any) -> bool:
        if self.group == "effectors":
            return False
        if self.group == "environments":
            return all(sensor.spec.is_bounded for sensor in device.sensors())
        return bool(device.spec.is_bounded)

    def _maker(self, context: SensorContext) -> Callable[[], Any]:
        target = _loaded(self.group, self.target) if isinstance(self.target, str) else self.target
        if not isinstance(target, type):
            return functools.partial(target, context)
        config = _configured(target, self.keys)
        return lambda: target(config, context)


def _loaded(group: Group, kind: str) -> Any:
    """The class of an installed kind. CheckFailed where there is none, or its module raises."""
    found = list(entry_points(group=f"sage.{group}", name=kind))
    if not found:
        raise CheckFailed(
            f"{kind}: no installed package has this kind: give it an entry point in group sage.{group}, then"
            " pip install -e ."
        )
    try:
        return found[0].load()
    except BaseException as error:  # around a plug-in
        pass_on(error)
        raise CheckFailed(
            f"{kind}: importing {found[0].value} raised {describe_error(error)}: a plug-in's module touches"
            " no device when it is imported, and has its dependencies in pyproject.toml"
        ) from error


def _configured(target: type, keys: Mapping[str, Any]) -> Any:
    config: Any = getattr(target, "Config", None)
    if config is None or not hasattr(config, "model_validate"):
        raise CheckFailed(
            f"{target.__name__}.Config: give a subclass of SensorConfig, EffectorConfig or EnvironmentConfig"
        )
    is_kind_needed = config.model_fields["kind"].is_required() and "kind" not in keys
    try:
        return config.model_validate(
            {"kind": target.__name__.lower(), **keys} if is_kind_needed else dict(keys)
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its keys"
        raise CheckFailed(
            f"{config.__name__}: {place}: {first['msg']}: correct the keys of the marker"
        ) from error


def _open_once(device: Any) -> None:
    """SensorUnavailable where the device is missing; any other error is for the checks."""
    try:
        device.open()
    except SensorUnavailable:
        raise
    except BaseException as error:  # around a plug-in
        pass_on(error)
        return
