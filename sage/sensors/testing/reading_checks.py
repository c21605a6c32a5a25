"""Checks of what a sensor delivers: values, stamps, rate, and memory that it hands over."""

from __future__ import annotations

import contextlib
import dataclasses
from itertools import pairwise

import numpy as np

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Reading, Sensor, SourceExhausted
from sage.sensors.testing.bench import SENTINELS, Bench, as_bytes, readings, require

#: Readings whose times the rate is measured by, and how far the median may be from the nominal period.
RATE_READINGS, LEAST_STEPS = 12, 3
MIN_PERIOD_PART, MAX_PERIOD_PART = 0.4, 2.5
#: Readings that a device with a queue of its own may deliver at one time.
MAX_AT_ONCE = 1024


def readings_are_whole(bench: Bench) -> str:
    """Every element is written and finite; shape and dtype do not change."""
    sensor = bench.make()
    tensor = sensor.spec.tensor
    num_seen = 0
    is_untouched = np.ones(tensor.num_elements, dtype=bool)
    sensor.open()
    try:
        for out, _ in readings(sensor, bench):
            require(
                out.shape == tensor.shape and out.dtype == np.dtype(tensor.dtype),
                "read_into changed the shape or dtype of `out`: write values into it, out[...] = values",
            )
            is_finite = out.dtype.kind != "f" or bool(np.isfinite(out).all())
            require(
                is_finite,
                "a reading has NaN or infinity: return None, or raise SensorError, where there is no number",
            )
            is_untouched &= (as_bytes(out) == SENTINELS[num_seen % len(SENTINELS)]).all(axis=-1)
            num_seen += 1
    finally:
        sensor.close()
    # In a single reading a value may have the sentinel's bytes by chance.
    require(
        num_seen == 1 or not is_untouched.any(),
        f"{int(is_untouched.sum())} of {tensor.num_elements} elements are never written: write all of `out`,"
        " in place (out[...] = values)",
    )
    return f"{num_seen} readings"


def stamps_and_counts_only_grow(bench: Bench) -> str:
    sensor = bench.make()
    last: Reading | None = None
    sensor.open()
    try:
        for _, reading in readings(sensor, bench):
            _check_reading(reading, last, bench.clock.now_ns())
            last = reading
    finally:
        sensor.close()
    return "sequence, captured_ns, received_ns"


def _check_reading(reading: Reading, last: Reading | None, now_ns: int) -> None:
    require(
        reading.captured_ns <= reading.received_ns <= now_ns,
        f"captured_ns <= received_ns <= now does not hold ({reading.captured_ns}, {reading.received_ns},"
        f" {now_ns}): stamp with context.clock",
    )
    require(
        0 <= reading.quality <= 1 and 0 <= reading.confidence <= 1,
        f"quality is {reading.quality}, confidence {reading.confidence}: give numbers from 0 to 1",
    )
    require(not reading.noise_std < 0, f"noise_std is {reading.noise_std}: give 0 or more, or NaN")
    require(
        not reading.health or reading.quality < 1,
        f"health is {reading.health!r} and quality is 1: lower the quality of a reading that has a fault",
    )
    if last is None:
        return
    require(
        reading.sequence > last.sequence,
        f"sequence went from {last.sequence} to {reading.sequence}: count every reading, from 0",
    )
    require(
        reading.captured_ns >= last.captured_ns,
        f"captured_ns went back by {(last.captured_ns - reading.captured_ns) / 1e9:g} s: deliver readings in"
        " order of time, and drop a late one",
    )


def memory_is_lent_for_one_call(bench: Bench) -> str:
    """What was handed over does not change later, at the next reads or at close."""
    sensor = bench.make()
    handed_over: list[tuple[np.ndarray, np.ndarray]] = []
    sensor.open()
    try:
        for out, _ in readings(sensor, bench):
            handed_over.append((out, as_bytes(out).copy()))
    finally:
        sensor.close()
    require(
        all(bool((as_bytes(out) == before).all()) for out, before in handed_over),
        "a reading changed after read_into had returned it: keep no reference to `out`, copy into it",
    )
    return f"{len(handed_over)} readings are as they were"


def rate_is_as_claimed(bench: Bench) -> str:
    """By the median time between readings, lost ones counted."""
    sensor = bench.make()
    spec = sensor.spec
    if not spec.is_bounded and isinstance(bench.clock, ManualClock):
        return "not checked: a device keeps its own time, which a manual clock does not show"
    sensor.open()
    try:
        seen = [
            reading for _, reading in readings(sensor, dataclasses.replace(bench, num_readings=RATE_READINGS))
        ]
        steps = [
            (b.captured_ns - a.captured_ns) / max(1, b.sequence - a.sequence)
            for a, b in pairwise(seen)
            if b.captured_ns > a.captured_ns
        ]
        if len(steps) < LEAST_STEPS:
            return f"not checked: {_num_at_once(sensor, len(seen))} readings at one time"
    finally:
        sensor.close()
    found, claimed = float(np.median(steps)), spec.period_ns
    require(
        MIN_PERIOD_PART <= found / claimed <= MAX_PERIOD_PART,
        f"period_ns claims a reading each {claimed / 1e9:g} s, and they are {found / 1e9:g} s apart: give the"
        " device's own period, or deliver at the claimed one",
    )
    return f"{found / 1e9:g} s between readings"


def _num_at_once(sensor: Sensor, num_seen: int) -> int:
    """Readings that a queue held, which may come at once. Fails where they do not end."""
    out = np.zeros(sensor.spec.tensor.shape, dtype=sensor.spec.tensor.dtype)
    num = num_seen
    with contextlib.suppress(SourceExhausted):
        while num < MAX_AT_ONCE and sensor.read_into(out) is not None:
            num += 1
    require(
        num < MAX_AT_ONCE,
        f"{num} readings are due at one time, with a period of {sensor.spec.period_ns / 1e9:g} s: return None"
        " until the next one is due",
    )
    return num


def a_bounded_read_returns(bench: Bench) -> str:
    """Also when nothing is due: the clock does not move. Fails by this check's own time limit."""
    sensor = bench.make()
    if not sensor.spec.is_bounded:
        return "not bounded: its driver gives it a thread"
    out = np.zeros(sensor.spec.tensor.shape, dtype=sensor.spec.tensor.dtype)
    sensor.open()
    try:
        for _ in range(100):
            sensor.read_into(out)
    except SourceExhausted:
        return "until the recording's end"
    finally:
        sensor.close()
    return "100 reads, one after the other"
