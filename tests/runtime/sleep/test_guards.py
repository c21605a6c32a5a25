"""Guards of the machine trip, stay while the figure is near its limit, and end; alarms of missing nights."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage.runtime.config import SleepConfig
from sage.runtime.guards_config import GuardsConfig
from sage.runtime.sleep import guards
from sage.runtime.sleep.alarm import NightAlarm
from sage.runtime.sleep.guards import Guards

SECOND = 1_000_000_000


class Machine:
    """Figures that a test sets."""

    def __init__(self, celsius: float | None = None, watts: float | None = None) -> None:
        self.figures = {"celsius": celsius, "watts": watts}

    def celsius(self) -> float | None:
        return self.figures["celsius"]

    def watts(self) -> float | None:
        return self.figures["watts"]


def test_a_full_disk_is_a_crisis_until_it_is_well_above_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {"bytes": 2000.0}
    monkeypatch.setattr(guards, "_free_bytes", lambda directory: free["bytes"])
    watch = Guards(GuardsConfig(every_secs=1.0, min_free_bytes=1000), tmp_path)
    assert watch.check(0) == ""
    free["bytes"] = 900.0
    assert watch.check(SECOND // 2) == ""  # not read yet
    assert watch.check(SECOND) == "free disk: 900 bytes, at least 1,000 bytes wanted"
    free["bytes"] = 1050.0
    assert watch.check(2 * SECOND)  # above the limit, within the margin
    free["bytes"] = 1101.0
    assert watch.check(3 * SECOND) == ""


def test_each_guard_has_its_figure_and_two_reasons_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "_available_bytes", lambda: 10.0)
    config = GuardsConfig(min_free_bytes=0, min_available_bytes=100, max_celsius=90.0)
    found = Guards(config, tmp_path, Machine(celsius=99.0)).check(0)
    assert found == (
        "available memory: 10 bytes, at least 100 bytes wanted; temperature: 99 degrees Celsius, at most 90"
        " degrees Celsius wanted"
    )


def test_a_figure_that_cannot_be_read_trips_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Guards(GuardsConfig(max_celsius=50.0), tmp_path, Machine()).check(0) == ""

    def broken(self: Path) -> bool:
        raise OSError(5, "Input/output error")  # a disk that fails, a share that is gone

    monkeypatch.setattr(Path, "exists", broken)
    assert Guards(GuardsConfig(min_free_bytes=1 << 60), tmp_path).check(0) == ""


def test_the_figures_of_this_machine_are_read(tmp_path: Path) -> None:
    assert (guards._free_bytes(tmp_path / "not" / "made" / "yet") or 0) > 0
    assert (guards._available_bytes() or 0) > 0


def test_the_budget_shrinks_near_the_limit_of_temperature_and_is_whole_again_well_below(
    tmp_path: Path,
) -> None:
    machine = Machine(celsius=84.0)
    watch = Guards(GuardsConfig(every_secs=1.0, max_celsius=95.0), tmp_path, machine)
    found = []
    for second, celsius in enumerate((84.0, 87.0, 94.0, 96.0, 86.0, 84.0, 76.0, 75.0)):
        machine.figures["celsius"] = celsius
        is_crisis = bool(watch.check(second * SECOND))
        found.append((round(watch.share, 3), bool(watch.shrunk), is_crisis))
    assert found == [
        (1.0, False, False),
        (0.8, True, False),
        (0.1, True, False),
        (0.0, True, True),
        (0.9, True, True),  # the crisis ends a tenth below its limit, at 85.5
        (1.0, True, False),
        (1.0, True, False),
        (1.0, False, False),
    ]
    machine.figures["celsius"] = 90.0
    watch.check(20 * SECOND)
    machine.figures["celsius"] = None  # a figure that cannot be read changes nothing
    watch.check(21 * SECOND)
    assert watch.share == 0.5
    assert watch.shrunk == "temperature: 90 degrees Celsius, at most 95 degrees Celsius wanted"


def test_the_budget_shrinks_near_the_limit_of_the_mean_power_without_a_crisis(tmp_path: Path) -> None:
    machine = Machine(watts=10.0)
    watch = Guards(GuardsConfig(every_secs=1.0, max_watts=15.0), tmp_path, machine)
    assert (watch.check(0), watch.share) == ("", 1.0)
    machine.figures["watts"] = 25.0
    watch.check(SECOND)
    assert watch.share == 1.0  # one reading is not the mean: 13 W
    for second in range(2, 60):
        assert watch.check(second * SECOND) == ""
    assert watch.share == 0.0
    assert watch.shrunk == "power: 25 W, at most 15 W wanted"


def test_limits_of_what_cannot_be_read_are_named(tmp_path: Path) -> None:
    config = GuardsConfig(max_celsius=95.0, max_watts=15.0)
    assert [name for name, _ in Guards(config, tmp_path, Machine()).unreadable] == [
        "guards.max_celsius",
        "guards.max_watts",
    ]
    assert Guards(config, tmp_path, Machine(celsius=40.0, watts=5.0)).unreadable == ()
    assert Guards(GuardsConfig(), tmp_path, Machine()).unreadable == ()


def test_missing_nights_raise_an_alarm_once_an_interval() -> None:
    config = SleepConfig(every_secs=100, first_after_secs=10)
    alarm = NightAlarm(0)
    assert alarm.check(config, 199 * SECOND) == ""
    assert alarm.check(config, 200 * SECOND, is_asleep=True) == ""
    assert "no night for 200 s, one is due every 100 s: none was started" in alarm.check(config, 200 * SECOND)
    assert alarm.check(config, 201 * SECOND) == ""
    alarm.note_skipped("3 puzzles to examine")
    assert "the last one was skipped: 3 puzzles to examine" in alarm.check(config, 400 * SECOND)
    alarm.note_night(500 * SECOND)
    assert alarm.check(config, 699 * SECOND) == ""
    assert alarm.check(SleepConfig(enabled=False), 9999 * SECOND) == ""
    assert alarm.check(config, 10_000 * SECOND) == ""  # a reload has enabled them a second ago
    alarm.note_failed("not done within 600 s")
    assert "no night for 200 s, " in (found := alarm.check(config, 10_199 * SECOND))
    assert "the last one failed: not done within 600 s" in found
