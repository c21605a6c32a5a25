"""What a tick may spend in the current state: segments, practice steps, and their energy.

Invariant: what is done is charged, and what is not affordable is not done; the prediction has one segment in
every tick.
"""

from __future__ import annotations

import math

import numpy as np

from sage.runtime.config import RuntimeConfig
from sage.runtime.report import State
from sage.runtime.scheduling.energy import Energy
from sage.runtime.scheduling.energy_facts import EnergyFacts
from sage.runtime.scheduling.ledger import Allocation
from sage.runtime.sleep.metabolism import Metabolism, Transition, Vitals

DEMAND_RATE = 0.1  # of the running share of salient ticks
CHANGE_RATE = 0.001  # of the running mean of changes
#: In the order of their numbers in a snapshot.
_STATES = (State.WAKE, State.REST, State.DREAM, State.CRISIS, State.FOCUS)


class Allowance:
    """Owns the operating mode and the energy of a run."""

    def __init__(self, config: RuntimeConfig, now_ns: int) -> None:
        self._config = config
        self.metabolism = Metabolism(now_ns, config.metabolism)
        self.energy = Energy(config.energy, now_ns)
        self._demand = 0.0
        self._mean_change = 0.0
        self._num_changes = 0
        self._calm_since_ns = now_ns
        self._num_practice_steps = 0
        self._night: Allocation | None = None
        self._num_night_steps = 0
        #: Of the budget, 0..1, near the machine's limits: so many of the ticks have all of it, the others one
        #: segment, no puzzle and no practice.
        self.share = 1.0
        self.is_whole = True
        self._owed = 0.0
        #: Most segments of all puzzles in this tick, None for no other limit than the configuration's.
        self.puzzle_segments: int | None = None
        #: What that limit comes from: "mode", "energy" or "budget".
        self.puzzle_limit = "energy"

    @property
    def mode(self) -> State:
        return self.metabolism.state

    def segments(self) -> int:
        """Most segments of this tick's prediction, at least 1."""
        if not self.is_whole:
            return 1
        metabolism, usual = self._config.metabolism, self._config.budget.segments
        by_state = {
            State.FOCUS: metabolism.focus_segments,
            State.REST: metabolism.rest_segments,
            State.CRISIS: 1,
        }
        return max(self.energy.affordable("segment", by_state.get(self.mode) or usual), 1)

    def settle(self, num_segments: int, num_sources: int) -> None:
        """After the prediction: charge it, and find what is left for puzzles.

        num_sources: with full attention; each was fused, and memory was asked once.
        """
        energy = self.energy
        energy.charge_always("tick")
        energy.charge_always("segment", num_segments)
        energy.charge_always("source", num_sources)
        energy.charge("recall")
        self.puzzle_segments, self.puzzle_limit = None, "energy"
        if self.mode is State.CRISIS or (
            self.mode is State.REST and not self._config.metabolism.rest_puzzles
        ):
            self.puzzle_segments, self.puzzle_limit = 0, "mode"
        elif not self.is_whole:
            self.puzzle_segments, self.puzzle_limit = 0, "budget"
        elif energy.is_enabled:
            self.puzzle_segments = energy.affordable("segment", 1 << 30)

    def charge_puzzles(self, num_segments: int) -> None:
        self.energy.charge_always("segment", num_segments)

    def charge_actions(self, num_actions: int) -> None:
        """Actions that were done: they are charged, never refused here; the policy decides."""
        self.energy.charge_always("action", num_actions)

    def practice_steps(self, most: int) -> int:
        """At most `most` practice steps before the next tick. None in a crisis, in FOCUS unless the
        configuration has it, and in a dream: an accepted night would overwrite what practice did meanwhile.
        """
        is_focused = self.mode is State.FOCUS and not self._config.metabolism.focus_practises
        if is_focused or self.mode in (State.DREAM, State.CRISIS) or not self.is_whole:
            return 0
        return self.energy.affordable("practice_step", most)

    def charge_practice(self, num_steps: int) -> None:
        """num_steps: of all practice so far."""
        self.energy.charge_always("practice_step", max(num_steps - self._num_practice_steps, 0))
        self._num_practice_steps = num_steps

    def begin_night(self, num_steps: int) -> bool:
        """Set aside what the steps of a night cost, of all models. False where it is not available."""
        self.end_night()
        self._num_night_steps = 0
        self._night = self.energy.set_aside("night_step", num_steps)
        return self._night is not None

    def note_night(self, num_steps: int) -> None:
        """Steps of one model's part of the night, at its end."""
        self._num_night_steps += num_steps

    def end_night(self) -> None:
        """Charge the steps that were done, and refund the others. Without a night nothing happens."""
        if self._night is not None:
            self.energy.spend(self._night, self._num_night_steps)
            self._night = None

    def step(
        self,
        now_ns: int,
        *,
        is_calm: bool,
        is_salient: bool,
        is_sleeping: bool,
        crisis: str,
        change: float = math.nan,
    ) -> Transition | None:
        """Between two ticks: recharge, and change the state where the table says so. change: of the readings
        in the tick, squared.
        """
        self.energy.recharge(now_ns)
        self._owed += self.share
        self.is_whole = self._owed >= 1
        self._owed -= self.is_whole
        if self._config.metabolism.rest_change is not None:
            is_moving = self._is_moving(change, self._config.metabolism.rest_change)
            is_calm, is_salient = not is_moving, is_salient and is_moving
        self._demand += DEMAND_RATE * (is_salient - self._demand)
        if not is_calm:
            self._calm_since_ns = now_ns
        vitals = Vitals(
            calm_secs=(now_ns - self._calm_since_ns) * 1e-9,
            demand=self._demand,
            energy=self.energy.share,
            is_sleeping=is_sleeping,
            crisis=crisis,
        )
        return self.metabolism.step(vitals, now_ns)

    def _is_moving(self, change: float, limit: float) -> bool:
        """Whether the readings change by at least `limit` of their running mean, in ticks of equal length."""
        if not math.isfinite(change):
            return False
        tick = self._config.tick
        if self.mode is State.REST:
            change *= tick.rest_rate_hz / tick.rate_hz
        self._num_changes += 1
        self._mean_change += max(CHANGE_RATE, 1 / self._num_changes) * (change - self._mean_change)
        return change >= limit * self._mean_change

    def facts(self) -> EnergyFacts:
        return self.energy.facts()

    def state(self) -> dict[str, np.ndarray]:
        return {"state": np.array(_STATES.index(self.mode), dtype=np.int64), **self.energy.state()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """A snapshot of an earlier version has nothing of it: then nothing changes."""
        if "state" in state and 0 <= int(state["state"]) < len(_STATES):
            self.metabolism.resume(_STATES[int(state["state"])])
        self.energy.load_state(state)
