"""Limits of an effector beside its range: how often, how fast and where it may act.

The driver enforces them, whatever the plug-in does. Invariant: combining two limits never widens either.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sage.errors import InputError

#: Takes the values of one action and returns permitted ones: the same where they are permitted already.
Permit = Callable[[np.ndarray], np.ndarray]
#: The time that a pause counts for at most: after a longer one an action may change by no more than
#: max_slew times this.
MAX_SLEW_SECS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectorLimits:
    """Per channel, in the device's unit; an empty tuple sets no limit.

    max_rate_hz: actions in any second, above 0; below 1: one action in 1 / max_rate_hz seconds.
    max_slew: change a second, above 0, infinite for a channel without limit. It starts from what was last
    done.
    low, high: the workspace, a box within the range; -inf and inf for a channel without limit.
    permit: a workspace of another form, for example of a gripper's place that the joints' angles give.
    Raises InputError.
    """

    max_rate_hz: float | None = None
    max_slew: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    permit: Permit | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.max_rate_hz is not None and not 0 < self.max_rate_hz < math.inf:
            raise InputError(f"max_rate_hz is {self.max_rate_hz}: give a rate above 0")
        if not all(each > 0 for each in self.max_slew):
            raise InputError(f"max_slew is {self.max_slew}: give changes a second above 0")
        if len(self.low) != len(self.high) or not all(a < b for a, b in zip(self.low, self.high)):
            raise InputError(f"workspace is {self.low} to {self.high}: give low < high for each channel")

    @property
    def is_empty(self) -> bool:
        return (self.max_rate_hz, self.max_slew, self.low, self.permit) == (None, (), (), None)

    def check(self, low: tuple[float, ...], high: tuple[float, ...]) -> None:
        """InputError unless they fit a range: one figure a channel, a workspace that overlaps it."""
        for name, values in (("max_slew", self.max_slew), ("workspace", self.low)):
            if len(values) not in (0, len(low)):
                raise InputError(f"{name} has {len(values)} channels: give {len(low)}")
        for index, (a, b) in enumerate(zip(self.low, self.high)):
            if max(a, low[index]) > min(b, high[index]):
                raise InputError(
                    f"workspace of channel {index} is {a:g} to {b:g}: give a part of the range"
                    f" {low[index]:g} to {high[index]:g}"
                )

    def combined(self, other: EffectorLimits) -> EffectorLimits:
        """The tighter of both, for each limit. InputError where nothing is left of a workspace."""
        rates = [each for each in (self.max_rate_hz, other.max_rate_hz) if each is not None]
        return EffectorLimits(
            max_rate_hz=min(rates, default=None),
            max_slew=_each(min, self.max_slew, other.max_slew),
            low=_each(max, self.low, other.low),
            high=_each(min, self.high, other.high),
            permit=_both(self.permit, other.permit),
        )


def _each(
    pick: Callable[[float, float], float], one: tuple[float, ...], two: tuple[float, ...]
) -> tuple[float, ...]:
    return tuple(map(pick, one, two)) if one and two else one or two


def _both(one: Permit | None, two: Permit | None) -> Permit | None:
    if one is None or two is None:
        return one or two
    first, second = one, two
    return lambda values: second(first(values))


NO_LIMITS = EffectorLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectorSettings:
    """What a run's configuration adds to the spec of one effector; see `EffectorSpec.needs`.

    is_dry: actions are decided and logged, and not applied; the device is not opened.
    """

    limits: EffectorLimits = NO_LIMITS
    needs: tuple[str, ...] = ()
    is_dry: bool = False
