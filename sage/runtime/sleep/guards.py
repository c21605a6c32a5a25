"""Guards of the machine: free disk, available memory, temperature. Each leads into a CRISIS and out of it.
Near the limits of temperature and power the budget shrinks.

Invariant: a guard that has tripped stays so until its figure is back beyond the margin, so that it does not
flutter. A figure that cannot be read changes nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from sage.runtime.guards_config import GuardsConfig

#: A figure is back once it is this share of its limit on the good side.
MARGIN = 0.1
#: The budget shrinks from so many degrees below the limit on, and from this share of the power's limit on.
TAPER_CELSIUS, TAPER_WATTS = 10.0, 0.9
#: Of the running mean of the power, which varies from one reading to the next, for each reading.
WATTS_RATE = 0.2
Read = Callable[[], float | None]


class MachineLimits(Protocol):
    """Figures of the machine; None for one that cannot be read."""

    def celsius(self) -> float | None:
        """Of the hottest sensor."""
        ...

    def watts(self) -> float | None:
        """Of the whole machine."""
        ...


class NoLimits:
    """Of a machine whose figures are not read."""

    def celsius(self) -> float | None:
        return None

    def watts(self) -> float | None:
        return None


@dataclass
class Guard:
    """One figure with its limit. is_least: the limit is the least allowed value, otherwise the greatest."""

    name: str
    unit: str
    limit: float
    is_least: bool
    read: Read
    is_tripped: bool = False

    def check(self) -> str:
        """Why it has tripped, "" where it has not."""
        value = self.read()
        if value is None:
            return self._reason(self.limit) if self.is_tripped else ""
        limit = self.limit
        if self.is_tripped:
            limit *= 1 + MARGIN if self.is_least else 1 - MARGIN
        self.is_tripped = value < limit if self.is_least else value > limit
        return self._reason(value) if self.is_tripped else ""

    def _reason(self, value: float) -> str:
        side = "at least" if self.is_least else "at most"
        return f"{self.name}: {value:,.0f} {self.unit}, {side} {self.limit:,.0f} {self.unit} wanted"


@dataclass
class Taper:
    """A figure whose last part below its limit shrinks the budget: all of it at `start`, none at `limit`.
    It has an end as far below `start`.  rate: of the running mean of the readings.
    """

    name: str
    unit: str
    start: float
    limit: float
    read: Read
    rate: float = 1.0
    value: float | None = None
    is_near: bool = False

    @property
    def share(self) -> float:
        if self.value is None:
            return 1.0
        return min(max((self.limit - self.value) / (self.limit - self.start), 0.0), 1.0)

    def check(self) -> str:
        """The figure while the budget is smaller, "" otherwise."""
        found = self.read()
        if found is not None:
            self.value = found if self.value is None else self.value + self.rate * (found - self.value)
        if self.value is None:
            return ""
        end = 2 * self.start - self.limit
        self.is_near = self.value > (end if self.is_near else self.start)
        if not self.is_near:
            return ""
        return f"{self.name}: {self.value:,.0f} {self.unit}, at most {self.limit:,.0f} {self.unit} wanted"


class Guards:
    """The configured guards, read every `every_secs`. directory: on the disk that is watched.

    share: of the budget, 0..1.  shrunk: why it is below 1 or was a short time ago, "" otherwise.
    unreadable: limits that have no effect here.
    """

    def __init__(self, config: GuardsConfig, directory: Path, machine: MachineLimits | None = None) -> None:
        machine = machine or NoLimits()
        self._guards = tuple(_guards(config, directory, machine))
        self._tapers = tuple(_tapers(config, machine))
        self.unreadable = tuple(_unreadable(config, machine))
        self.share, self.shrunk = 1.0, ""
        self._every_ns = int(config.every_secs * 1e9)
        self._next_ns: int | None = None
        self._reason = ""

    def check(self, now_ns: int) -> str:
        """The reasons of all guards that have tripped, "" for none."""
        if self._next_ns is None or now_ns >= self._next_ns:
            self._next_ns = now_ns + self._every_ns
            self._reason = "; ".join(filter(None, [guard.check() for guard in self._guards]))
            self.shrunk = "; ".join(filter(None, [taper.check() for taper in self._tapers]))
            self.share = min((taper.share for taper in self._tapers), default=1.0)
        return self._reason


def _unreadable(config: GuardsConfig, machine: MachineLimits) -> Iterator[tuple[str, str]]:
    """The keys that limit nothing on this machine, with the reason."""
    if config.max_celsius is not None and machine.celsius() is None:
        yield "guards.max_celsius", "no temperature sensor can be read: it limits nothing"
    if config.max_watts is not None and machine.watts() is None:
        yield "guards.max_watts", "no power monitor can be read: it limits nothing"


def _tapers(config: GuardsConfig, machine: MachineLimits) -> Iterator[Taper]:
    if config.max_celsius is not None:
        start = config.max_celsius - TAPER_CELSIUS
        yield Taper("temperature", "degrees Celsius", start, config.max_celsius, machine.celsius)
    if config.max_watts is not None:
        start = config.max_watts * TAPER_WATTS
        yield Taper("power", "W", start, config.max_watts, machine.watts, rate=WATTS_RATE)


def _guards(config: GuardsConfig, directory: Path, machine: MachineLimits) -> Iterator[Guard]:
    if config.min_free_bytes:
        yield Guard("free disk", "bytes", config.min_free_bytes, True, lambda: _free_bytes(directory))
    if config.min_available_bytes:
        yield Guard("available memory", "bytes", config.min_available_bytes, True, _available_bytes)
    if config.max_celsius is not None:
        yield Guard("temperature", "degrees Celsius", config.max_celsius, False, machine.celsius)


def _free_bytes(directory: Path) -> float | None:
    """Of the file system that has the directory, or the nearest folder above it that exists."""
    try:
        place = next((each for each in (directory, *directory.parents) if each.exists()), None)
        return None if place is None else float(shutil.disk_usage(place).free)
    except OSError:
        return None


def _available_bytes() -> float | None:
    try:
        return float(psutil.virtual_memory().available)
    except (OSError, RuntimeError):
        return None
