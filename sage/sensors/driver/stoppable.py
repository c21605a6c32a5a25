"""An effector whose aborts also end what was in progress when they began.

Invariant: after an abort nothing that was started before it moves the device: a call that has not begun does
nothing, and one in progress is followed by another abort, on its own thread. After `stop` nothing begins
until `release`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np

from sage.sensors.contract import Action, Effector, SensorError

ResultT = TypeVar("ResultT")


class EffectorHeld(SensorError):
    """Nothing is done for now: the effector is in quarantine, stopped, or still opening. Not a new fault."""


class StoppableEffector:
    """`opening` and `applying` make the calls of one thread at a time; all else may be used on any thread."""

    def __init__(self, effector: Effector) -> None:
        self._effector = effector
        self._name = effector.spec.name
        self._is_stopped = threading.Event()
        self._lock = threading.Lock()
        #: How often what was started before has been cut off.
        self._num_cuts = 0
        #: Begins and ends of `open` and `apply` so far, and how many there were before the last good abort.
        self._num_changes = 0
        self._held_at = 0

    @property
    def is_stopped(self) -> bool:
        return self._is_stopped.is_set()

    @property
    def is_held(self) -> bool:
        """Whether an abort has succeeded that began after the last `open` or `apply` began and, unless it is
        still in progress, ended. True before the first one.
        """
        return self._held_at == self._num_changes

    def opening(self) -> Callable[[], None]:
        """A call that opens the device. Where an abort has failed before, one must succeed first."""
        return partial(self._use, self._num_cuts, self._open)

    def applying(self, values: np.ndarray, stamp_ns: int) -> Callable[[], Action]:
        """A call that does one action. It raises EffectorHeld where it is cut off."""
        return partial(self._use, self._num_cuts, partial(self._effector.apply, values, stamp_ns))

    def abort(self) -> None:
        """Raises what the device's `abort` raises."""
        self.cut()
        num_changes = self._num_changes
        self._effector.abort()
        with self._lock:
            self._held_at = max(self._held_at, num_changes)

    def cut(self) -> None:
        """Cut off every call that was made so far; one in progress aborts the device when it has returned."""
        with self._lock:
            self._num_cuts += 1

    def stop(self) -> None:
        """Cut off every call, also those made from now on, until `release`. The caller aborts."""
        self._is_stopped.set()
        self.cut()

    def release(self) -> None:
        """End a stop."""
        self._is_stopped.clear()

    def _open(self) -> None:
        if self._held_at < self._num_changes - 1:  # before this call began it was not held
            self._effector.open()
            self._effector.abort()
        self._effector.open()

    def _use(self, num_cuts: int, function: Callable[[], ResultT]) -> ResultT:
        self._raise_cut(num_cuts)
        self._note_change()
        try:
            result = function()
        finally:
            self._note_change()
            if self._is_cut(num_cuts):
                self.abort()
        self._raise_cut(num_cuts)
        return result

    def _note_change(self) -> None:
        with self._lock:
            self._num_changes += 1

    def _is_cut(self, num_cuts: int) -> bool:
        return self._num_cuts != num_cuts or self._is_stopped.is_set()

    def _raise_cut(self, num_cuts: int) -> None:
        if self._is_cut(num_cuts):
            reason = "stopped" if self.is_stopped else "aborted meanwhile"
            raise EffectorHeld(f"{self._name}: {reason}")
