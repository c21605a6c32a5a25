"""Operating modes: a table of transitions with guards, minimum dwell and priority.

Invariant: every state can be reached, every state but CRISIS can be left, and only this table changes the
state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sage.runtime.report import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Arguments of the guards. calm_secs: how long salience has been low."""

    calm_secs: float = 0.0
    is_sleeping: bool = False
    crisis: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """From any of `sources` to `target` when `guard` holds and the state has lasted `min_dwell_secs`."""

    sources: tuple[State, ...]
    target: State
    guard: Callable[[Vitals], bool]
    min_dwell_secs: float
    reason: str


CALM_SECS = 10.0
AWAKE = (State.WAKE, State.REST)
#: In order of priority: the first transition that can fire does.
TABLE: tuple[Transition, ...] = (
    Transition(
        sources=(*AWAKE, State.DREAM),
        target=State.CRISIS,
        guard=lambda v: bool(v.crisis),
        min_dwell_secs=0,
        reason="crisis",
    ),
    Transition(
        sources=AWAKE,
        target=State.DREAM,
        guard=lambda v: v.is_sleeping,
        min_dwell_secs=0,
        reason="sleep started",
    ),
    Transition(
        sources=(State.DREAM,),
        target=State.WAKE,
        guard=lambda v: not v.is_sleeping,
        min_dwell_secs=0,
        reason="sleep ended",
    ),
    Transition(
        sources=(State.WAKE,),
        target=State.REST,
        guard=lambda v: v.calm_secs >= CALM_SECS,
        min_dwell_secs=5,
        reason="nothing salient",
    ),
    Transition(
        sources=(State.REST,),
        target=State.WAKE,
        guard=lambda v: v.calm_secs == 0,
        min_dwell_secs=1,
        reason="something salient",
    ),
)


class Metabolism:
    """The current state, and since when."""

    def __init__(self, now_ns: int) -> None:
        self.state = State.WAKE
        self._since_ns = now_ns

    def step(self, vitals: Vitals, now_ns: int) -> Transition | None:
        """Fire the first transition that can; returns it, or None when the state stays."""
        dwelt_secs = (now_ns - self._since_ns) * 1e-9
        for transition in TABLE:
            if (
                self.state in transition.sources
                and dwelt_secs >= transition.min_dwell_secs
                and transition.guard(vitals)
            ):
                self.state = transition.target
                self._since_ns = now_ns
                return transition
        return None
