"""The owner of one effector: calls it on a thread of its own, with a time limit, so that it cannot block the
loop.

Invariant: no method waits longer than its time limit, after a fault once more for the abort. A call that
raises or does not return in time is one fault: the effector is aborted, and in quarantine until a pause has
passed and the call has returned. An abort that fails is tried again after each pause until one succeeds.
The device gets an action only within its limits, and nothing between `stop` and `release`.
With a manual clock calls run inline, so that equal runs have equal results; the limit is judged afterwards.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from sage.errors import pass_on
from sage.mailbox.clock import Clock
from sage.sensors.contract import Action, Effector, EffectorSpec, SensorError
from sage.sensors.driver.limiter import ActionLimiter
from sage.sensors.driver.stoppable import EffectorHeld, StoppableEffector
from sage.sensors.driver.supervision import Backoff
from sage.sensors.limits import EffectorSettings

#: Opening connects, calibrates or homes a device; closing parks it.
OPEN_SECS = 10.0
CLOSE_SECS = 2.0
#: The pause after a fault before the effector is opened again, doubled at each fault up to the second.
BACKOFF_SECS = 0.5
MAX_BACKOFF_SECS = 30.0


class EffectorTimeout(SensorError):
    """A call has not returned within its time limit. It may still return, and act, later."""


class EffectorTooSoon(EffectorHeld):
    """Nothing is done now: the rate limit forbids it. The device stays as it is."""


class Call:
    """One call into a plug-in. Used by the thread that runs it and the one that waits for it."""

    def __init__(self, function: Callable[[], Any], clock: Clock) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._function = function
        self._clock = clock
        self._started_ns = clock.now_ns()
        self._ended_ns: int | None = None
        self._has_ended = threading.Event()

    @property
    def has_ended(self) -> bool:
        return self._has_ended.is_set()

    @property
    def age_ns(self) -> int:
        return self._clock.now_ns() - self._started_ns

    def run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:  # around a plug-in: raised again where the call is waited for
            pass_on(error)
            self.error = error
        self._ended_ns = self._clock.now_ns()
        self._has_ended.set()

    def wait(self, limit_secs: float) -> bool:
        """Whether it ended within `limit_secs` of its start."""
        limit_ns = round(limit_secs * 1e9)
        self._has_ended.wait(max(0.0, (limit_ns - self.age_ns) * 1e-9))
        return self._ended_ns is not None and self._ended_ns - self._started_ns <= limit_ns


class EffectorDriver:
    """Drives one effector. `open`, then `begin` and `finish` for each action; `hold`; `close`.

    is_inline: calls run on the caller's thread, for a manual clock.  settings: of the run's configuration;
    InputError where its limits do not fit the spec.  is_dry: nothing is opened and nothing is applied; an
    action is returned as held, with the values that would have been done.
    num_faults: since it was made.  limited_by: the limits that changed the last action.
    """

    def __init__(
        self,
        effector: Effector,
        *,
        clock: Clock,
        is_inline: bool,
        settings: EffectorSettings | None = None,
    ) -> None:
        settings = settings or EffectorSettings()
        self.spec: EffectorSpec = effector.spec
        self.is_dry = settings.is_dry
        self.num_faults = 0
        self.limited_by: tuple[str, ...] = ()
        self._effector = effector
        self._device = StoppableEffector(effector)
        self._clock = clock
        self._limiter = ActionLimiter(self.spec, settings.limits)
        self._refusal: SensorError | None = None
        self._calls: queue.SimpleQueue[Call | None] | None = None if is_inline else queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_armed = False
        self._opening: Call | None = None
        self._applying: Call | None = None
        #: A call that has not returned in time; no other is started on its thread until it returns.
        self._stuck: Call | None = None
        self._values = np.zeros(self.spec.tensor.shape, dtype=self.spec.tensor.dtype)
        self._stamp_ns = 0
        self._backoff = Backoff(first_secs=BACKOFF_SECS, max_secs=MAX_BACKOFF_SECS)
        self._retry_ns: int | None = None
        self._last_fault = ""

    def open(self) -> None:
        """Raises SensorError when it fails or takes longer than OPEN_SECS. Opens nothing while stopped."""
        if self.is_dry or self._device.is_stopped:
            return
        call = self._start(self._device.opening())
        if not call.wait(OPEN_SECS):
            self._stuck = None if call.has_ended else call
            self._device.cut()
            raise EffectorTimeout(
                f"{self.spec.name}: open has not returned within {OPEN_SECS:g} s: check the device"
            )
        self._raise_error(call, "open")
        self._arm()

    def begin(self, values: np.ndarray, stamp_ns: int) -> None:
        """Start to do `values` (spec.tensor, finite) within the limits, without waiting; `finish` returns
        what was done.
        """
        self._stamp_ns = stamp_ns
        self._applying = None
        self._refusal = self._limit(values, stamp_ns)
        if self._refusal is not None or self.is_dry or self._device.is_stopped or self._is_stuck():
            return
        if self._is_armed:
            self._applying = self._start_apply()
        elif self._opening is None and self._is_due():
            self._opening = self._start(self._device.opening())

    def finish(self) -> Action:
        """What was done. Waits `spec.timeout_secs` at most, twice that when the effector is opened again, and
        once more for the abort after a fault.

        Raises SensorError on a fault, which ends in quarantine, EffectorHeld when nothing was started, and
        EffectorTooSoon where the rate limit forbids it.
        """
        if self._refusal is not None:
            raise self._refused(self._refusal)
        if self.is_dry:
            return self._pretended()
        call = self._opening if self._applying is None else self._applying
        if call is None:
            problem = self.hold()
            raise SensorError(problem) if problem else self._held()
        try:
            if call is self._opening:
                self._finish_open(call)
                call = self._applying = self._start_apply()
            action = self._finish_apply(call)
            self._limiter.note_done(action)
            return action
        except EffectorHeld:
            if call is self._opening and call.has_ended:
                self._opening = None
            raise
        except SensorError as error:
            raise self._quarantined(call, error) from error.__cause__

    def stop(self) -> Call:
        """Abort now, from any thread, also while a call is in progress; nothing reaches the device until
        `release`. Returns the call to abort, without waiting for it.
        """
        self._device.stop()
        return self._start_beside((lambda: None) if self.is_dry else self._device.abort)

    def release(self) -> None:
        """End a stop, after `hold`; the device is opened again at the next action. On the loop's thread."""
        self._is_armed = False
        self._device.release()

    @property
    def owes_abort(self) -> bool:
        """The device may act, and an abort has failed or is still to be done."""
        return not self._device.is_held

    def hold(self) -> str:
        """Abort an effector that may act; it is opened again at the next action. Returns why the abort
        failed, "" otherwise. One that has failed is tried again by the first call after the pause.
        """
        problem = self._abort()
        if problem:
            self._note_fault(problem)
        return problem

    def close(self) -> None:
        """Hold and give the device back; SensorError for what its `close` raised. Safe to call twice.

        An abort that has failed is tried once more; `owes_abort` afterwards where it fails again.
        """
        self._retry_ns = None
        self.hold()
        is_busy = self._is_stuck() or self._opening is not None
        call = self._start_beside(self._effector.close) if is_busy else self._start(self._effector.close)
        is_in_time = call.wait(CLOSE_SECS)
        if self._calls is not None and self._thread is not None:
            self._calls.put(None)
            self._thread = None
        if not is_in_time:
            raise EffectorTimeout(f"{self.spec.name}: close has not returned within {CLOSE_SECS:g} s")
        self._raise_error(call, "close")

    def _limit(self, values: np.ndarray, stamp_ns: int) -> SensorError | None:
        """Set the values within the limits; why there are none."""
        self.limited_by = ()
        if self._limiter.is_too_soon(stamp_ns):
            self.limited_by = ("rate",)
            return EffectorTooSoon(f"{self.spec.name}: too soon after the last actions for its rate limit")
        try:
            self._values, self.limited_by = self._limiter.limited(values, stamp_ns)
        except SensorError as error:
            return error
        return None

    def _refused(self, refusal: SensorError) -> SensorError:
        return refusal if isinstance(refusal, EffectorHeld) else self._faulted(refusal)

    def _held(self) -> EffectorHeld:
        if self._device.is_stopped:
            return EffectorHeld(f"{self.spec.name}: stopped")
        return EffectorHeld(f"{self.spec.name}: in quarantine: {self._last_fault}")

    def _pretended(self) -> Action:
        """Of a dry run: held, with the values that would have been done."""
        self._limiter.note_applied(self._stamp_ns)
        action = Action(spec=self.spec, values=self._values, stamp_ns=self._stamp_ns, is_held=True)
        self._limiter.note_done(action)
        return action

    def _is_stuck(self) -> bool:
        if self._stuck is not None and self._stuck.has_ended:
            self._stuck = None
        return self._stuck is not None

    def _arm(self) -> None:
        self._is_armed = True
        self._opening = None
        self._retry_ns = None
        self._backoff.opened(self._clock.now_ns())

    def _finish_open(self, call: Call) -> None:
        """EffectorHeld while it takes longer than one action may."""
        if not call.wait(self.spec.timeout_secs) and not call.has_ended:
            if call.age_ns > OPEN_SECS * 1e9:
                raise EffectorTimeout(f"{self.spec.name}: open has not returned within {OPEN_SECS:g} s")
            raise EffectorHeld(f"{self.spec.name}: opening")
        self._raise_error(call, "open")
        self._arm()

    def _finish_apply(self, call: Call) -> Action:
        limit_secs = self.spec.timeout_secs
        if not call.wait(limit_secs):
            raise EffectorTimeout(f"{self.spec.name}: apply has not returned within {limit_secs:g} s")
        self._raise_error(call, "apply")
        action = call.result
        if not isinstance(action, Action) or action.spec != self.spec:
            raise SensorError(
                f"{self.spec.name}: apply returned {action!r}: return an Action of its own spec"
            )
        if not np.isfinite(action.values).all():
            raise SensorError(f"{self.spec.name}: apply returned values that are not finite")
        return action

    def _start_apply(self) -> Call:
        self._limiter.note_applied(self._stamp_ns)
        return self._start(self._device.applying(self._values, self._stamp_ns))

    def _abort(self) -> str:
        """Abort unless the device is held, or the pause after a fault lasts; why it failed."""
        self._is_armed = False
        if self._opening is not None:
            if not self._opening.has_ended:
                self._device.cut()
                return ""
            self._opening = None
        if self._device.is_held or not self._is_due():
            return ""
        start = self._start_beside if self._is_stuck() else self._start
        call = start(self._device.abort)
        if call.wait(self.spec.timeout_secs) and call.error is None:
            return ""
        if self._stuck is None and not call.has_ended:
            self._stuck = call
        return f"{self.spec.name}: abort failed: {call.error or 'it has not returned in time'}"

    def _is_due(self) -> bool:
        return self._retry_ns is None or self._clock.now_ns() >= self._retry_ns

    def _quarantined(self, call: Call, error: SensorError) -> SensorError:
        self._opening = None
        if not call.has_ended:
            self._stuck = call
            self._device.cut()
        return self._faulted(error)

    def _faulted(self, error: SensorError) -> SensorError:
        """Abort; one fault, with what the abort failed for."""
        problem = self._abort()
        if problem:
            kind = EffectorTimeout if isinstance(error, EffectorTimeout) else SensorError
            error = kind(f"{error}; {problem}")
        self._note_fault(str(error))
        return error

    def _note_fault(self, reason: str) -> None:
        self.num_faults += 1
        self._last_fault = reason
        self._retry_ns = self._backoff.failed(self._clock.now_ns())

    def _raise_error(self, call: Call, name: str) -> None:
        if call.error is None:
            return
        if isinstance(call.error, SensorError):
            raise call.error
        text = f"{self.spec.name}: {name}: {type(call.error).__name__}: {call.error}"
        raise SensorError(text) from call.error

    def _start(self, function: Callable[[], Any]) -> Call:
        call = Call(function, self._clock)
        if self._calls is None:
            call.run()
            return call
        if self._thread is None:
            # A daemon: a device stuck in the kernel must not keep the process from ending.
            self._thread = threading.Thread(
                target=_run_calls, args=(self._calls,), name=f"effector-{self.spec.name}", daemon=True
            )
            self._thread.start()
        self._calls.put(call)
        return call

    def _start_beside(self, function: Callable[[], Any]) -> Call:
        """On another thread, while a call is stuck on the effector's own."""
        call = Call(function, self._clock)
        name = f"effector-{self.spec.name}-rescue"
        threading.Thread(target=call.run, name=name, daemon=True).start()
        return call


def _run_calls(calls: queue.SimpleQueue[Call | None]) -> None:
    while (call := calls.get()) is not None:
        call.run()
