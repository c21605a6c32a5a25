"""The effector contract as checks, for this package and for plug-ins (`sage sensors check KIND`).

Invariant: `check_effector` never raises and never hangs: a check that fails, raises or does not return is a
result. The actions are small ones around the middle of each range; the device moves while it is checked.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from sage.mailbox.clock import Clock
from sage.sensors.config import EffectorConfig
from sage.sensors.contract import Action, Effector, EffectorSpec, SensorError
from sage.sensors.driver.effector_driver import EffectorDriver, EffectorTimeout, EffectorTooSoon
from sage.sensors.driver.stoppable import EffectorHeld
from sage.sensors.limits import MAX_SLEW_SECS
from sage.sensors.testing.bench import CheckResult, contract_is_this_one, require, run_check

#: Of a channel's half range: how far from the middle the checks go.
SMALL = 0.1
#: How long a check waits for a thread of its own.
WAIT_SECS = 5.0
#: What float32 values may be off.
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectorBench:
    """What a check uses. make: makes a new effector.  clock: the one in its context."""

    make: Callable[[], Effector]
    clock: Clock


def check_effector(
    make: Callable[[], Effector], *, clock: Clock, timeout_secs: float = 20.0
) -> tuple[CheckResult, ...]:
    """Run all checks, each on effectors of its own. timeout_secs: of real time, for one check."""
    bench = EffectorBench(make=make, clock=clock)
    return tuple(
        run_check(name, functools.partial(check, bench), timeout_secs=timeout_secs)
        for name, check in EFFECTOR_CHECKS.items()
    )


def spec_is_known_before_open(bench: EffectorBench) -> str:
    spec = bench.make().spec
    require(isinstance(spec, EffectorSpec), f"spec is a {type(spec).__name__}: give an EffectorSpec")
    require(len(set(spec.channels)) == len(spec.channels), "two channels have one name")
    return f"{spec.name}: {spec.effect} on {spec.target}, {spec.tensor.shape} {spec.tensor.dtype}"


def spec_never_changes(bench: EffectorBench) -> str:
    effector, other = bench.make(), bench.make()
    before = effector.spec
    require(other.spec == before, "a second instance has another spec")
    with _opened(effector):
        require(effector.spec == before, "open() changed the spec")
    return "the same for two instances, closed and open"


def config_is_an_effector_config(bench: EffectorBench) -> str:
    kind = type(bench.make())
    config = getattr(kind, "Config", None)
    require(
        isinstance(config, type) and issubclass(config, EffectorConfig),
        f"{kind.__name__}.Config: give an EffectorConfig",
    )
    return f"{kind.__name__}.Config"


def an_action_within_range_is_done(bench: EffectorBench) -> str:
    effector = bench.make()
    with _opened(effector):
        for part in (0.0, SMALL, -SMALL):
            action = _apply(effector, part, bench)
            require(not action.is_held, f"{part:+g} of the half range is held")
            require(_is_within(action), "the action that was done is out of its ranges")
    return "3 actions"


def what_is_out_of_range_is_limited_or_held(bench: EffectorBench) -> str:
    """Floats only beyond a range's end by a tenth of it; integers where their dtype goes beyond the range."""
    effector = bench.make()
    spec = effector.spec
    with _opened(effector):
        for beyond in (1.2, -1.2):
            values = _at(spec, beyond, is_limited=False)
            action = effector.apply(values, bench.clock.now_ns())
            require(_is_within(action), "an action out of range is done")
            is_changed = bool((values != spec.limited(values)).any())
            require(
                action.is_held or action.is_limited or not is_changed,
                "is_limited and is_held are False for values out of range",
            )
    return "limited or held"


def what_is_not_finite_is_held(bench: EffectorBench) -> str:
    effector = bench.make()
    spec = effector.spec
    if np.dtype(spec.tensor.dtype).kind != "f":
        return "integers are always finite"
    with _opened(effector):
        for value in (np.nan, np.inf, -np.inf):
            values = np.full(spec.tensor.shape, value, dtype=spec.tensor.dtype)
            try:
                action = effector.apply(values, bench.clock.now_ns())
            except SensorError:
                continue
            require(action.is_held or np.isinf(value), f"{value} is done")
            require(_is_within(action), f"{value} is done")
    return "NaN and infinity"


def another_shape_is_refused(bench: EffectorBench) -> str:
    effector = bench.make()
    spec = effector.spec
    with _opened(effector):
        values = np.zeros((*spec.tensor.shape, 2), dtype=spec.tensor.dtype)
        require(_raises(effector, values, bench), "apply took values of another shape")
    return "an error"


def applying_while_closed_raises(bench: EffectorBench) -> str:
    effector = bench.make()
    values = _at(effector.spec, 0.0)
    require(_raises(effector, values, bench), "apply before open() did not raise")
    effector.open()
    effector.close()
    require(_raises(effector, values, bench), "apply after close() did not raise")
    return "before open and after close"


def it_holds_after_abort_until_opened(bench: EffectorBench) -> str:
    effector = bench.make()
    effector.abort()
    with _opened(effector):
        effector.abort()
        effector.abort()
        require(_apply(effector, SMALL, bench).is_held, "apply after abort() is not held")
        effector.open()
        require(not _apply(effector, SMALL, bench).is_held, "apply after a second open() is held")
    return "abort is safe closed, open and twice"


def closing_is_safe(bench: EffectorBench) -> str:
    bench.make().close()
    effector = bench.make()
    effector.open()
    effector.close()
    effector.close()
    with _opened(effector):
        _apply(effector, 0.0, bench)
    return "before open, twice, and open again"


def it_acts_within_its_time_limit(bench: EffectorBench) -> str:
    """Through the driver that the loop uses, on a thread."""
    driver = EffectorDriver(bench.make(), clock=bench.clock, is_inline=False)
    try:
        driver.open()
        num_done = 0
        for _ in range(3):
            driver.begin(_at(driver.spec, 0.0), bench.clock.now_ns())
            try:
                driver.finish()
            except EffectorTooSoon:
                continue  # its rate limit forbids it, whatever the device does
            num_done += 1
    finally:
        driver.close()
    return f"{num_done} actions, {driver.spec.timeout_secs:g} s each at most"


def what_is_done_is_within_its_limits(bench: EffectorBench) -> str:
    """Of the spec, through the driver that the loop uses; the run's configuration may add others."""
    driver = EffectorDriver(bench.make(), clock=bench.clock, is_inline=False)
    limits = driver.spec.limits
    before = driver.spec.limited(driver.spec.rest_values()).astype(np.float64)
    try:
        driver.open()
        for part in (SMALL, -SMALL):
            driver.begin(_at(driver.spec, part), bench.clock.now_ns())
            try:
                done = driver.finish().values.astype(np.float64)
            except EffectorTooSoon:
                continue
            if limits.low:
                is_inside = (done >= np.array(limits.low) - TOLERANCE) & (
                    done <= np.array(limits.high) + TOLERANCE
                )
                require(bool(is_inside.all()), "what was done is outside the spec's workspace")
            if limits.max_slew and done.ndim == 1:
                most = np.array(limits.max_slew) * MAX_SLEW_SECS + TOLERANCE
                require(bool((np.abs(done - before) <= most).all()), "what was done is beyond the slew limit")
            before = done
    finally:
        driver.close()
    return "no limit but the range" if limits.is_empty else "the spec's limits"


def it_stops_until_released(bench: EffectorBench) -> str:
    """As `sage estop` and `sage arm` do, from another thread than the device's."""
    driver = EffectorDriver(bench.make(), clock=bench.clock, is_inline=False)
    try:
        driver.open()
        stop = driver.stop()
        require(stop.wait(driver.spec.timeout_secs) and stop.error is None, "abort failed, or took too long")
        driver.begin(_at(driver.spec, SMALL), bench.clock.now_ns())
        require(_is_held(driver), "an action was done after a stop")
        driver.hold()
        driver.release()
        driver.begin(_at(driver.spec, SMALL), bench.clock.now_ns())
        require(not driver.finish().is_held, "an action after the release is held")
    finally:
        driver.close()
    return "stopped, released"


def it_stops_during_an_action(bench: EffectorBench) -> str:
    """As `sage estop` while `apply` is in progress: the device holds once that call has returned."""
    device = _SlowEffector(bench.make())
    driver = EffectorDriver(device, clock=bench.clock, is_inline=False)
    try:
        driver.open()
        driver.begin(_at(driver.spec, SMALL), bench.clock.now_ns())
        require(device.has_begun.wait(WAIT_SECS), "apply was not called")
        stop = driver.stop()
        require(stop.wait(WAIT_SECS) and stop.error is None, "abort failed, or took too long")
        device.may_act.set()
        require(device.is_aborted_again.wait(WAIT_SECS), "it was not aborted again after the action")
        require(_is_held(driver), "an action was done after a stop")
        require(_apply(device, SMALL, bench).is_held, "apply after the stop is not held")
    finally:
        device.may_act.set()
        driver.close()
    return "held after the action in progress"


#: In this order, by name.
EFFECTOR_CHECKS: dict[str, Callable[[EffectorBench], str]] = {
    check.__name__: check
    for check in (
        spec_is_known_before_open,
        spec_never_changes,
        config_is_an_effector_config,
        contract_is_this_one,
        an_action_within_range_is_done,
        what_is_out_of_range_is_limited_or_held,
        what_is_not_finite_is_held,
        another_shape_is_refused,
        applying_while_closed_raises,
        it_holds_after_abort_until_opened,
        closing_is_safe,
        it_acts_within_its_time_limit,
        what_is_done_is_within_its_limits,
        it_stops_until_released,
        it_stops_during_an_action,
    )
}


def _is_held(driver: EffectorDriver) -> bool:
    try:
        return driver.finish().is_held
    except (EffectorHeld, EffectorTimeout):
        return True


class _SlowEffector:
    """Another effector, whose `apply` acts only once `may_act` is set."""

    def __init__(self, effector: Effector) -> None:
        self.has_begun = threading.Event()
        self.may_act = threading.Event()
        self.is_aborted_again = threading.Event()
        self.open, self.close = effector.open, effector.close
        self._effector = effector
        self._has_acted = False

    @property
    def spec(self) -> EffectorSpec:
        return self._effector.spec

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        self.has_begun.set()
        self.may_act.wait(WAIT_SECS)
        action = self._effector.apply(values, stamp_ns)
        self._has_acted = True
        return action

    def abort(self) -> None:
        self._effector.abort()
        if self._has_acted:
            self.is_aborted_again.set()


@contextmanager
def _opened(effector: Effector) -> Iterator[None]:
    effector.open()
    try:
        yield
    finally:
        effector.close()


def _at(spec: EffectorSpec, part: float, *, is_limited: bool = True) -> np.ndarray:
    """spec.tensor, every channel at `part` of its half range from the middle."""
    low, high = np.array(spec.low), np.array(spec.high)
    values = np.broadcast_to((low + high) / 2 + part * (high - low) / 2, spec.tensor.shape)
    if is_limited:
        return spec.limited(values)
    dtype = np.dtype(spec.tensor.dtype)
    if dtype.kind in "iu":
        values = np.clip(np.round(values), np.iinfo(dtype).min, np.iinfo(dtype).max)
    return values.astype(dtype)


def _apply(effector: Effector, part: float, bench: EffectorBench) -> Action:
    action = effector.apply(_at(effector.spec, part), bench.clock.now_ns())
    require(isinstance(action, Action), f"apply returned {type(action).__name__}: return an Action")
    require(action.spec == effector.spec, "the Action has another spec")
    return action


def _is_within(action: Action) -> bool:
    values = action.values.astype(np.float64)
    within = action.spec.limited(action.values).astype(np.float64)
    return bool(np.isfinite(values).all() and np.array_equal(values, within))


def _raises(effector: Effector, values: np.ndarray, bench: EffectorBench) -> bool:
    try:
        effector.apply(values, bench.clock.now_ns())
    except (SensorError, ValueError):
        return True
    return False
