"""The contract of a relay: an effector whose actions come from a plug-in and not from the loop's model.

The loop asks it for the next action in every tick and passes that through the policy like any other, so that
each has a decision. Invariant: a relay never moves its device by itself; only `apply` does.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from sage.sensors.contract import Effector


@runtime_checkable
class Relay(Effector, Protocol):
    """drives: name of the effector of the run that it passes actions to; "": none, it only records."""

    @property
    def drives(self) -> str: ...

    def attach(self, device: Effector) -> None:
        """Take the effector that it drives; before `open`, once. `spec` is narrowed to the device's limits.

        InputError where the device takes actions of another size.
        """
        ...

    def next_values(self, now_ns: int) -> np.ndarray | None:
        """The action for now (spec.tensor), None where there is none that may be done. Never waits.

        On the loop's thread, also while the relay is closed. What it raises, and values of another shape or
        dtype, is a fault of the relay: its device is held in that tick.
        """
        ...

    def discard(self, now_ns: int) -> None:
        """Propose nothing more that rests on an observation from before `now_ns`, also where its answer is
        still to come: a stop, a pause, a denial or a fault came in between, and what it acts on may have been
        moved. On the loop's thread.
        """
        ...
