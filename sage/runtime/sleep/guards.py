"""Guards of the machine: free disk, available memory, temperature. Each leads into a CRISIS and out of it.

Invariant: a guard that has tripped stays so until its figure is back beyond the margin, so that it does not
flutter. A figure that cannot be read trips nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from sage.runtime.guards_config import GuardsConfig

#: A figure is back once it is this share of its limit on the good side.
MARGIN = 0.1
Read = Callable[[], float | None]


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


class Guards:
    """The configured guards, read every `every_secs`. directory: on the disk that is watched."""

    def __init__(self, config: GuardsConfig, directory: Path) -> None:
        self._guards = tuple(_guards(config, directory))
        self._every_ns = int(config.every_secs * 1e9)
        self._next_ns: int | None = None
        self._reason = ""

    def check(self, now_ns: int) -> str:
        """The reasons of all guards that have tripped, "" for none."""
        if self._guards and (self._next_ns is None or now_ns >= self._next_ns):
            self._next_ns = now_ns + self._every_ns
            self._reason = "; ".join(filter(None, [guard.check() for guard in self._guards]))
        return self._reason


def _guards(config: GuardsConfig, directory: Path) -> Iterator[Guard]:
    if config.min_free_bytes:
        yield Guard("free disk", "bytes", config.min_free_bytes, True, lambda: _free_bytes(directory))
    if config.min_available_bytes:
        yield Guard("available memory", "bytes", config.min_available_bytes, True, _available_bytes)
    if config.max_celsius is not None:
        yield Guard("temperature", "degrees Celsius", config.max_celsius, False, _hottest)


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


def _hottest() -> float | None:
    """The highest temperature of all sensors of the machine."""
    try:
        found: dict[str, list[Any]] = getattr(psutil, "sensors_temperatures", dict)()
    except (OSError, RuntimeError):
        return None
    values = [float(each.current) for group in found.values() for each in group if each.current is not None]
    return max(values, default=None)
