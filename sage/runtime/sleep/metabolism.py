"""Operating modes: a table of transitions with guards, minimum dwell and priority.

Invariant: every state can be reached and left, only this table changes the state, and CRISIS comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sage.runtime.energy_config import MetabolismConfig
from sage.runtime.report import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Arguments of the guards.

    calm_secs: how long salience has been low.  demand: running share of ticks that were salient, 0..1.
    energy: what is available, 0..1.  crisis: its cause, "" for none.
    """

    calm_secs: float = 0.0
    demand: float = 0.0
    energy: float = 1.0
    is_sleeping: bool = False
    crisis: str = ""


Guard = Callable[[Vitals, MetabolismConfig], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """From any of `sources` to `target` when `guard` holds and the state has lasted `min_dwell_secs`."""

    sources: tuple[State, ...]
    target: State
    guard: Guard
    min_dwell_secs: float
    reason: str


AWAKE = (State.WAKE, State.FOCUS, State.REST)
_TIRED = "energy is low"
#: Of the transition whose cause `Vitals.crisis` has.
CRISIS_REASON = "crisis"
#: In order of priority: the first transition that can fire does.
TABLE: tuple[Transition, ...] = (
    Transition(
        sources=(*AWAKE, State.DREAM),
        target=State.CRISIS,
        guard=lambda v, c: bool(v.crisis),
        min_dwell_secs=0,
        reason=CRISIS_REASON,
    ),
    Transition(
        sources=(*AWAKE, State.DREAM),
        target=State.CRISIS,
        guard=lambda v, c: v.energy <= c.crisis_energy,
        min_dwell_secs=0,
        reason="energy is at its floor",
    ),
    Transition(
        sources=(State.CRISIS,),
        target=State.REST,
        guard=lambda v, c: not v.crisis and v.energy >= c.recovered_energy,
        min_dwell_secs=5,
        reason="crisis over",
    ),
    Transition(
        sources=AWAKE,
        target=State.DREAM,
        guard=lambda v, c: v.is_sleeping,
        min_dwell_secs=0,
        reason="sleep started",
    ),
    Transition(
        sources=(State.DREAM,),
        target=State.WAKE,
        guard=lambda v, c: not v.is_sleeping,
        min_dwell_secs=0,
        reason="sleep ended",
    ),
    Transition(
        sources=(State.WAKE, State.FOCUS),
        target=State.REST,
        guard=lambda v, c: v.energy < c.rest_energy,
        min_dwell_secs=2,
        reason=_TIRED,
    ),
    Transition(
        sources=(State.FOCUS,),
        target=State.WAKE,
        guard=lambda v, c: v.demand < c.focus_demand / 2,
        min_dwell_secs=2,
        reason="less is salient",
    ),
    Transition(
        sources=(State.WAKE,),
        target=State.FOCUS,
        guard=lambda v, c: c.focuses and v.demand >= c.focus_demand and v.energy >= c.wake_energy,
        min_dwell_secs=1,
        reason="much is salient",
    ),
    Transition(
        sources=(State.WAKE,),
        target=State.REST,
        guard=lambda v, c: c.rests and v.calm_secs >= c.rest_after_secs,
        min_dwell_secs=5,
        reason="nothing salient",
    ),
    Transition(
        sources=(State.REST,),
        target=State.WAKE,
        guard=lambda v, c: v.calm_secs == 0 and v.energy >= c.wake_energy,
        min_dwell_secs=1,
        reason="something salient",
    ),
)


class Metabolism:
    """The current state, and since when: None until the first step after `resume`."""

    def __init__(self, now_ns: int, config: MetabolismConfig | None = None) -> None:
        self.state = State.WAKE
        self._config = config or MetabolismConfig()
        self._since_ns: int | None = now_ns

    def step(self, vitals: Vitals, now_ns: int) -> Transition | None:
        """Fire the first transition that can; returns it, or None when the state stays."""
        if self._since_ns is None:
            self._since_ns = now_ns
        dwelt_secs = (now_ns - self._since_ns) * 1e-9
        for transition in TABLE:
            if (
                self.state in transition.sources
                and dwelt_secs >= transition.min_dwell_secs
                and transition.guard(vitals, self._config)
            ):
                self.state = transition.target
                self._since_ns = now_ns
                return transition
        return None

    def resume(self, state: State) -> None:
        """Continue in `state`, from the next step's time on."""
        self.state = state
        self._since_ns = None
