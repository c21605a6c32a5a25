"""The arms of `sage bench whole`: the whole, and the whole without one of its parts, by keys of the
configuration (docs/configuration.md).

Invariant: an arm without a part is in a suite only where the part can have an effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """loop: settings of a run.  training: of `solver_training`, for puzzles.  sleeps: has nights of puzzles.
    reasoner: of puzzles.  segments: `solving.max_segments`.
    """

    name: str
    loop: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    sleeps: bool = True
    reasoner: Any = "hrm"
    segments: int = 16

    @property
    def keys(self) -> str:
        """What differs from the whole, for the table."""
        puzzles = [f"solver_training.{name}={value}" for name, value in self.training.items()]
        return ", ".join((*self.loop, *puzzles))


ARMS = {
    arm.name: arm
    for arm in (
        Arm(name=FULL),
        Arm(
            name="minus trust",
            loop=("trust.enabled=false",),
            training={"checks_labels": False},
        ),
        Arm(name="minus attention", loop=("attention.policy=round_robin",)),
        Arm(
            name="minus memory",
            loop=("memory.enabled=false", "memory.num_transitions=64"),
            training={"replay": "none", "num_recent": 32},
            sleeps=False,
        ),
        Arm(name="minus sleep", loop=("sleep.enabled=false",), sleeps=False),
        Arm(name="linear", loop=("model.kind=linear", "budget.segments=1"), reasoner="linear"),
        Arm(name="one segment", loop=("budget.segments=1",), segments=1),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """about: for the table.  arms: those that can differ from the whole there."""

    name: str
    about: str
    arms: tuple[str, ...]


_COMMON = ("minus memory", "minus sleep", "linear", "one segment")
SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            name="recordings",
            about="skill on the last quarter of flight and xio",
            arms=(FULL, "minus trust", *_COMMON),
        ),
        Suite(
            name="scarce",
            about="the same, places for half of the sources in a tick",
            arms=(FULL, "minus attention"),
        ),
        Suite(
            name="faulty",
            about="the same of the other sources, the first one frozen from the middle on",
            arms=(FULL, "minus trust"),
        ),
        Suite(name="puzzles", about="held-out 4x4 and 6x6 sudokus solved", arms=(FULL, *_COMMON)),
        Suite(
            name="lies", about="the same, 15% of the solutions shown are wrong", arms=(FULL, "minus trust")
        ),
        Suite(
            name="robot",
            about="configs/robot.yaml without camera: success",
            arms=(FULL, "minus trust", *_COMMON),
        ),
    )
}
