"""Every change of a status and of a health is one event; disabled sources do not end a run."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.prediction import substitute_rules as rules
from sage.runtime.tick.statuses import Statuses
from sage.sensors.contract import SensorSpec
from sage.sensors.driver.sensor_driver import DriverStatistics


def statistics(**values: Any) -> DriverStatistics:
    fields = {field.name: 0 for field in dataclasses.fields(DriverStatistics)}
    return DriverStatistics(**{**fields, "last_error": "", "health": "", "status": "running", **values})


def specs() -> list[SensorSpec]:
    return [
        SensorSpec(
            name=name,
            modality="physical",
            tensor=TensorSpec(shape=(1,)),
            period_ns=1,
            observes=("speed", "m/s"),
        )
        for name in ("wind", "vane")
    ]


def test_changes_are_events() -> None:
    events: list[tuple[str, str, str]] = []
    statuses = Statuses(specs(), lambda *event: events.append(event))
    good = statistics()
    bad = statistics(health="cups iced", quality=0.5)
    assert not statuses.note([good, good])
    assert not statuses.note([bad, good])
    assert not statuses.note([bad, good])
    assert not statuses.note([good, statistics(status="disabled")])
    assert events[2:] == [
        ("health", "cups iced (quality 0.50)", "wind"),
        ("health", "without fault again", "wind"),
        ("source", "running -> disabled", "vane"),
    ]
    assert statuses.note([statistics(status="exhausted"), statistics(status="disabled")])
    assert not statuses.note([statistics(status="disabled"), statistics(status="disabled")])


def test_the_begin_and_the_end_of_replaced_readings_are_events() -> None:
    events: list[tuple[str, str, str]] = []
    statuses = Statuses(specs(), lambda *event: events.append(event))
    kind = np.array([rules.NONE, rules.NONE])
    for of_wind, of_vane in [(0, 0), (rules.STEP, 0), (rules.STEP, rules.FROZEN), (0, rules.FROZEN), (0, 0)]:
        kind[:] = of_wind, of_vane  # the array of the substitutes changes in place
        statuses.note_replaced(kind)
        statuses.note_replaced(kind)
    assert [(event, source, message.split(",")[0]) for event, message, source in events] == [
        ("replaced", "wind", "a jump beyond its record"),
        ("replaced", "vane", "it stands still"),
        ("replaced", "wind", "its readings are predicted from again"),
        ("replaced", "vane", "its readings are predicted from again"),
    ]
