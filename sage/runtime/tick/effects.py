"""What becomes of a proposed effect, for the audit log: approved or denied, then what the effector did.

Invariant: a decision is written before its action is dispatched; where it cannot be written, nothing is
dispatched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from sage.runtime.config import Verdict
from sage.runtime.tick.policy import Situation
from sage.sensors.contract import EffectorSpec

#: held: nothing was dispatched, or the effector held.  dry: of a dry run, nothing was dispatched.
Outcome = Literal["done", "failed", "timed out", "held", "dry"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EffectDecision:
    """The policy's decision on one proposed action. values: as proposed, in the device's unit."""

    spec: EffectorSpec
    role: str
    verdict: Verdict
    reason: str
    values: np.ndarray
    situation: Situation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EffectOutcome:
    """What became of an approved action. values: what was done, None where nothing was.

    limited_by: as in ActionFacts.
    """

    effector: str
    outcome: Outcome
    reason: str
    values: np.ndarray | None
    limited_by: tuple[str, ...]
    tick: int


class EffectLog(Protocol):
    """Used on the loop's thread."""

    def decided(self, decisions: Sequence[EffectDecision]) -> str:
        """Write them before returning. Returns why that failed, "" where it did not."""
        ...

    def ended(self, outcome: EffectOutcome) -> None:
        """Write it, at the latest with the next decisions. Never raises."""
        ...
