"""What may get the next segments of a tick's budget: the puzzles of one level, or the work of a device.

Invariant: a place only computes in `step`, and states before it what that costs at least.
"""

from __future__ import annotations

import math
from dataclasses import replace
from operator import index
from typing import Protocol

from sage.errors import pass_on
from sage.runtime.scheduling.skips import BUDGET, NOT_DUE, WORDS
from sage.runtime.scheduling.work_facts import WorkFacts
from sage.runtime.solving.schedule import LEAST_RISE, Claim
from sage.runtime.solving.solver import Emit, StreamSolver
from sage.sensors.budgeted_work import BudgetedWork, WorkBoard

#: Why the work of a device that failed gets no segment.
FAILED_WORD = "failed"


class Place(Protocol):
    """num_waited: choices since its last step.  num_next: segments of the next step at least.
    num_tokens: of that step.
    """

    num_waited: int

    @property
    def is_due(self) -> bool: ...

    @property
    def num_next(self) -> int: ...

    @property
    def num_tokens(self) -> int: ...

    def claim(self) -> Claim: ...

    def step(self, most: int) -> int:
        """Compute, and return the segments. most: at least num_next; rows of puzzles take num_next."""
        ...


class LevelPlace:
    """The puzzles under way at one level of a stream."""

    def __init__(self, solver: StreamSolver, level: int) -> None:
        self._solver = solver
        self._level = level
        self._rows = solver.rows[level]

    @property
    def num_waited(self) -> int:
        return self._rows.num_waited

    @num_waited.setter
    def num_waited(self, num: int) -> None:
        self._rows.num_waited = num

    @property
    def is_due(self) -> bool:
        return len(self._rows) > 0

    @property
    def num_next(self) -> int:
        return self._rows.num_next_rows

    @property
    def num_tokens(self) -> int:
        return self.num_next * self._rows.num_cells

    def claim(self) -> Claim:
        return self._rows.claim(self._solver.record.stake(self._level))

    def step(self, most: int) -> int:
        return self._solver.step(self._level)


class WorkPlace:
    """The work of one device. It computes no tokens. `facts`: of this tick."""

    def __init__(self, name: str, work: BudgetedWork, emit: Emit) -> None:
        self.work = work
        self.num_waited = 0
        self.facts = WorkFacts(name=name)
        self.has_failed = False
        self._emit = emit
        self._num_next = 0
        self._gain = LEAST_RISE
        self._now_ns = 0

    def start(self, now_ns: int) -> None:
        """A new tick."""
        self.facts = WorkFacts(name=self.facts.name)
        self._now_ns = now_ns
        self._num_next = 0
        if not self.has_failed:
            try:
                self._look()
            except BaseException as error:  # around a plug-in
                pass_on(error)
                self._fail(error)

    def _look(self) -> None:
        """What is due now, and what it is worth. Raises what the work raises."""
        self._num_next = max(index(self.work.num_next(self._now_ns)), 0)
        gain = float(self.work.gain)
        self._gain = max(gain, LEAST_RISE) if math.isfinite(gain) else LEAST_RISE
        self.facts = replace(self.facts, work_trust=float(self.work.trust))

    @property
    def is_due(self) -> bool:
        return self._num_next > 0

    @property
    def num_next(self) -> int:
        return self._num_next

    @property
    def num_tokens(self) -> int:
        return 0

    def claim(self) -> Claim:
        return Claim(deadline_ns=None, gain=self._gain, num_waited=self.num_waited)

    def step(self, most: int) -> int:
        """A failure costs nothing and ends the work; it is an event. A piece that spent nothing is the last
        one of the tick.
        """
        try:
            piece = self.work.work(most)
            num_spent, num_made, outcome = index(piece.num_segments), index(piece.num_made), piece.outcome
            self._look()
        except BaseException as error:  # around a plug-in
            pass_on(error)
            self._fail(error)
            return 0
        if num_spent <= 0:
            self._num_next = 0
        facts = self.facts
        self.facts = replace(
            facts,
            num_segments=facts.num_segments + num_spent,
            num_made=facts.num_made + num_made,
            ended=(*facts.ended, outcome),
        )
        return max(num_spent, 0)

    def close(self, reason: str) -> WorkFacts:
        """The facts of the tick. reason: why the tick's budget ended, "" where it did not."""
        if not self.facts.ended:
            word = FAILED_WORD if self.has_failed else reason if self._num_next else WORDS[NOT_DUE]
            self.facts = replace(self.facts, skipped=word or WORDS[BUDGET])
        return self.facts

    def _fail(self, error: BaseException) -> None:
        self.has_failed = True
        self._num_next = 0
        name = self.facts.name
        self._emit("fault", f"its work failed, and gets no more segments: {error}", name)


class WorkPlaces:
    """The places of the work that a run's devices have posted, in the order of their names."""

    def __init__(self, board: WorkBoard, emit: Emit) -> None:
        self._board = board
        self._emit = emit
        self._places: dict[str, WorkPlace] = {}

    def start(self, now_ns: int) -> tuple[WorkPlace, ...]:
        """A new tick: all places. One whose device posts again starts anew."""
        earlier, self._places = self._places, {}
        for name, work in self._board.posted():
            place = earlier.get(name)
            if place is None or place.work is not work:
                place = WorkPlace(name, work, self._emit)
            self._places[name] = place
            place.start(now_ns)
        return tuple(self._places.values())

    def facts(self, reason: str) -> tuple[WorkFacts, ...]:
        return tuple(place.close(reason) for place in self._places.values())
