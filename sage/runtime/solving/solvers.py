"""One budget of segments a tick for the puzzles of all streams, plans among them, and the work of devices.

Invariant: a tick computes at most the budget, or one batch of rows or piece of work where that is more, and
never more than the operating mode, its energy and `budget.tokens` allow. What got nothing has a reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
import torch

from sage.mailbox.clock import Clock
from sage.runtime.config import BudgetConfig, SolvingConfig
from sage.runtime.report import ActionFacts, SleepReport, SolvingFacts
from sage.runtime.scheduling.budgets import TickBudget
from sage.runtime.scheduling.skips import BUDGET, WORDS
from sage.runtime.scheduling.work_facts import WorkFacts
from sage.runtime.solving.places import LevelPlace, Place, WorkPlaces
from sage.runtime.solving.schedule import choose
from sage.runtime.solving.solver import Emit, StreamSolver
from sage.runtime.solving.stream import PuzzleStream
from sage.runtime.tick.effector_gate import EffectorGate
from sage.runtime.tick.policy import Situation
from sage.sensors.budgeted_work import WorkBoard

BUDGET_WORD = WORDS[BUDGET]
DEFAULT_LIMITS = BudgetConfig()


class PuzzleSolving:
    """The solvers of a run, in the order of its streams."""

    def __init__(
        self,
        streams: Sequence[PuzzleStream],
        config: SolvingConfig,
        limits: BudgetConfig = DEFAULT_LIMITS,
        *,
        clock: Clock,
        device: torch.device,
        seed: int,
        emit: Emit,
        work: WorkBoard | None = None,
    ) -> None:
        self.solvers = tuple(
            StreamSolver(stream, config, clock=clock, device=device, seed=seed, emit=emit)
            for stream in streams
        )
        self._segments = config.segments
        self._tokens = limits.tokens
        self._puzzle_ns = None if limits.puzzle_secs is None else int(limits.puzzle_secs * 1e9)
        self._clock = clock
        self._work = WorkPlaces(work or WorkBoard(), emit)
        self._reason = ""  # why the tick's last batch had to wait
        #: Of all puzzles and all work, computed in this tick.
        self.num_segments = 0

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

    def think(
        self, num_spent: int, most: int | None = None, num_tokens: int = 0, most_word: str = "energy"
    ) -> None:
        """Spend what the prediction has left of the tick's budget. num_spent, num_tokens: by the prediction.

        most: segments that the operating mode and its energy allow, None for no such limit.
        most_word: which of the two, the reason of what has to wait.
        """
        budget = self._segments - num_spent
        self.num_segments = 0
        self._reason = ""
        work = self._work.start(self._clock.now_ns())
        if not work and not self.solvers:
            return
        limit = TickBudget({most_word: most, "tokens": self._tokens})
        if not limit.take(tokens=num_tokens):
            self._reason = "tokens"
            return
        started_ns = time.perf_counter_ns()
        levels: list[Place] = [
            LevelPlace(solver, level) for solver in self.solvers for level in range(len(solver.rows))
        ]
        open_places: list[Place] = [*levels, *work]
        while self.num_segments < budget or not self.num_segments:
            places = [place for place in open_places if place.is_due]
            if not places:
                return
            place = places[choose([place.claim() for place in places])]
            reason = self._unaffordable(place, budget, limit, started_ns)
            if reason:  # of this place alone: cheaper ones may still fit
                self._reason = self._reason or reason
                place.num_waited += 1
                open_places.remove(place)
                continue
            self._step(place, budget, limit, most_word)
            for other in places:
                other.num_waited = 0 if other is place else other.num_waited + 1
        self._reason = self._reason or BUDGET_WORD

    def _step(self, place: Place, budget: int, limit: TickBudget, most_word: str) -> None:
        num_next, num_tokens = place.num_next, place.num_tokens
        most, left = max(budget - self.num_segments, num_next), limit.left(most_word)
        num = place.step(most if left is None else min(most, left))
        limit.take(**{most_word: num if left is None else min(num, left), "tokens": num_tokens})
        self.num_segments += num

    def _unaffordable(self, place: Place, budget: int, limit: TickBudget, started_ns: int) -> str:
        """Why the next step of a place has to wait, or ""."""
        num = place.num_next
        if self.num_segments and self.num_segments + num > budget:
            return BUDGET_WORD
        if self._puzzle_ns is not None and time.perf_counter_ns() - started_ns >= self._puzzle_ns:
            return "time"
        most_word = next(iter(limit.limits))
        return limit.short_of(**{most_word: num, "tokens": place.num_tokens})

    def answer(self, gate: EffectorGate, situation: Situation) -> tuple[ActionFacts, ...]:
        return tuple(fact for solver in self.solvers for fact in solver.answer(gate, situation))

    def facts(self) -> tuple[SolvingFacts, ...]:
        """A stream without a segment in this tick has a reason: no puzzle, or what the others left."""
        return tuple(solver.facts(self._reason or BUDGET_WORD) for solver in self.solvers)

    def work_facts(self) -> tuple[WorkFacts, ...]:
        """Of every device that has posted work."""
        return self._work.facts(self._reason)

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

    def pause_practice(self, is_paused: bool) -> None:
        """Whether learners practise no more, until the next call."""
        for solver in self.solvers:
            solver.learner.pause(is_paused)

    def begin_night(self, tick: int) -> None:
        for solver in self.solvers:
            solver.learner.begin_night(tick)

    def abort_night(self) -> None:
        """End nights in progress without a result."""
        for solver in self.solvers:
            if solver.learner.facts().is_sleeping:
                solver.learner.abort_night()
