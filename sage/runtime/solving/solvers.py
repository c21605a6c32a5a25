"""All puzzle streams of a run: one budget of segments a tick for all of their puzzles.

Invariant: a tick computes at most the budget, or one batch of rows where that is more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
import torch

from sage.mailbox.clock import Clock
from sage.runtime.config import SolvingConfig
from sage.runtime.report import ActionFacts, SleepReport, SolvingFacts
from sage.runtime.solving.schedule import choose
from sage.runtime.solving.solver import Emit, StreamSolver
from sage.runtime.solving.stream import PuzzleStream
from sage.runtime.tick.effector_gate import EffectorGate
from sage.runtime.tick.policy import Situation


class PuzzleSolving:
    """The solvers of a run, in the order of its streams."""

    def __init__(
        self,
        streams: Sequence[PuzzleStream],
        config: SolvingConfig,
        *,
        clock: Clock,
        device: torch.device,
        seed: int,
        emit: Emit,
    ) -> None:
        self.solvers = tuple(
            StreamSolver(stream, config, clock=clock, device=device, seed=seed, emit=emit)
            for stream in streams
        )
        self._segments = config.segments

    @property
    def is_sleeping(self) -> bool:
        """Whether a learner's night is in progress."""
        return any(solver.learner.facts().is_sleeping for solver in self.solvers)

    def prepare(self) -> None:
        """What may take seconds, before anything is opened. Safe to call twice."""
        for solver in self.solvers:
            solver.prepare()

    def open(self) -> None:
        for solver in self.solvers:
            solver.open()

    def close(self) -> None:
        """Close every solver; an error is raised after all are closed."""
        with ExitStack() as stack:
            for solver in self.solvers:
                stack.callback(solver.close)

    def sense(self, tick: int, now_ns: int, time_ns: int, episode: int = 0) -> None:
        for solver in self.solvers:
            solver.sense(tick, now_ns, time_ns, episode)

    def think(self, num_spent: int) -> None:
        """Spend what the prediction has left of the tick's segments. num_spent: by the prediction."""
        budget = self._segments - num_spent
        spent = 0
        while True:
            places = [
                (solver, level)
                for solver in self.solvers
                for level, rows in enumerate(solver.rows)
                if len(rows)
            ]
            if not places:
                return
            claims = [solver.rows[level].claim(solver.record.stake(level)) for solver, level in places]
            index = choose(claims)
            solver, level = places[index]
            if spent and spent + solver.rows[level].num_next_rows > budget:
                return
            spent += solver.step(level)
            for other, (each, number) in enumerate(places):
                rows = each.rows[number]
                rows.num_waited = 0 if other == index else rows.num_waited + 1
            if spent >= budget:
                return

    def answer(self, gate: EffectorGate, situation: Situation) -> tuple[ActionFacts, ...]:
        return tuple(fact for solver in self.solvers for fact in solver.answer(gate, situation))

    def facts(self) -> tuple[SolvingFacts, ...]:
        return tuple(solver.facts() for solver in self.solvers)

    def state(self) -> dict[str, np.ndarray]:
        """Copies of every stream's weights and of the trust in its teacher, as STREAM/NAME."""
        return {
            f"{solver.name}/{name}": array
            for solver in self.solvers
            for name, array in solver.state().items()
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Before the first tick. A stream that `state` has nothing of, or the weights of another model, stays
        as it is.
        """
        for solver in self.solvers:
            start = f"{solver.name}/"
            own = {name[len(start) :]: array for name, array in state.items() if name.startswith(start)}
            if own:
                solver.load_state(own)

    def pass_time(self, deadline_ns: int, on_sleep: Callable[[SleepReport], None]) -> None:
        """Between two ticks. on_sleep: called with the report of a night that ended."""
        for solver in self.solvers:
            report = solver.pass_time(deadline_ns)
            if report is not None:
                on_sleep(report)

    def begin_night(self, tick: int) -> None:
        for solver in self.solvers:
            solver.learner.begin_night(tick)
