"""One puzzle in progress: its tries, then its search, and the answer of both.

Invariant: the search begins when all tries have ended without a verified answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sage.hrm_core.solving.attempt import Attempt
from sage.hrm_core.solving.branching import Searchable
from sage.hrm_core.solving.candidate_sets import CandidateSets
from sage.hrm_core.solving.deduction import Deduction
from sage.hrm_core.solving.row import Row
from sage.hrm_core.solving.rules import Verifier
from sage.hrm_core.solving.search import Search
from sage.hrm_core.solving.search_record import SearchRecord
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import Outcome, Solution, confidence_of
from sage.hrm_core.solving.step_record import StepRecord
from sage.hrm_core.solving.tries import Tries


class Job:
    """cells: (L,) int32.  seed: of its noise.  task: None where no search is asked for.  sets: of a model
    with deduction heads.  verifier: the rules, None without.  clock: seconds.
    record: of the search, steps: of the plain try, where they are wanted.
    fault: what its task raised; there is no solution then.
    """

    def __init__(
        self,
        cells: np.ndarray,
        settings: SolveSettings,
        *,
        puzzle_id: int,
        seed: int,
        task: Searchable | None,
        sets: CandidateSets | None,
        verifier: Verifier | None,
        clock: Callable[[], float],
        record: SearchRecord | None = None,
        steps: StepRecord | None = None,
    ) -> None:
        self.cells = cells
        self.steps = steps
        self.settings = settings
        self.puzzle_id = puzzle_id
        self.num_segments_spent = 0
        self.fault: BaseException | None = None
        self._seed = seed
        self._task = task
        self._sets = sets
        self._verifier = verifier
        self._clock = clock
        self._record = record
        self._tries = Tries(cells, settings, seed)
        self._search: Search | Deduction | None = None
        self._is_cancelled = False

    @property
    def num_tries_started(self) -> int:
        return self._tries.num_started

    @property
    def has_more(self) -> bool:
        """Whether a row could start now."""
        stage = self._search or self._tries
        return stage.has_more and not self._is_cancelled

    @property
    def is_settled(self) -> bool:
        return (self._search or self._tries).is_over

    def start(self) -> Row:
        return (self._search or self._tries).start()

    def needs(self, row: Row) -> bool:
        if self._is_cancelled:
            return False
        return self._tries.needs(row) if row.is_try else self._search is not None and self._search.needs(row)

    def cancel(self) -> None:
        self._is_cancelled = True

    def fail(self, fault: BaseException) -> None:
        """End it without a solution."""
        self.fault = fault
        self.cancel()

    def end(self, row: Row, *, is_verified: bool) -> None:
        """Record a row that has ended. is_verified: of a try's answer."""
        if not row.is_try:
            assert self._search is not None
            self._search.end(row)
            return
        self._tries.end(row, is_verified=is_verified)
        tries = self._tries
        if not tries.is_over or (tries.best and tries.best.is_verified):
            return
        if self.settings.chains:
            self._begin_chains()
        elif self._task is not None:
            self._begin_search(self._task)

    def give_up(self, row: Row, *, is_verified: bool) -> None:
        """Record the answer so far of a try; no search follows it."""
        self._tries.end(row, is_verified=is_verified)

    @property
    def has_answer(self) -> bool:
        return self._tries.best is not None

    def _begin_chains(self) -> None:
        assert self._tries.first is not None
        assert self._sets is not None
        self._search = Deduction(
            self._sets,
            self._verifier,
            self.cells,
            self.settings,
            seed=self._seed,
            first=self._tries.first,
            clock=self._clock,
        )

    def _begin_search(self, task: Searchable) -> None:
        assert self._tries.first is not None
        self._search = Search(
            task,
            self.cells,
            self.settings,
            seed=self._seed,
            first=self._tries.first,
            clock=self._clock,
            sets=self._sets,
            record=self._record,
        )

    def solution(self) -> Solution:
        best, searched = self._best(), self._search
        outcome = self._outcome(best)
        is_abstained = self._withholds and not best.is_verified and not self._is_accepted
        return Solution(
            cells=np.zeros_like(best.cells) if is_abstained else best.cells,
            is_verified=best.is_verified,
            is_abstained=is_abstained,
            is_halted_early=best.is_early,
            num_segments=best.num_segments,
            num_segments_spent=self.num_segments_spent,
            attempt=best.number,
            confidence=float(confidence_of(best.q)),
            outcome=outcome,
            trace=None if searched is None else searched.trace_of(best),
        )

    @property
    def _withholds(self) -> bool:
        """Whether an answer that nothing has accepted is withheld; chains without rules always do."""
        return self.settings.abstains or (bool(self.settings.chains) and self._verifier is None)

    @property
    def _is_accepted(self) -> bool:
        """Whether the conflict head accepted the answer, without rules."""
        return isinstance(self._search, Deduction) and self._search.is_accepted and self._verifier is None

    def _best(self) -> Attempt:
        assert self._tries.best is not None
        best = self._tries.best
        found = None if self._search is None else self._search.best
        return found if found is not None and found.beats(best) else best

    def _outcome(self, best: Attempt) -> Outcome:
        searched = self._search
        if best.is_verified:
            return "solved"
        if self._is_accepted:
            return "halted"
        if not math.isfinite(best.q) or (searched is not None and searched.num_diverged):
            return "diverged"
        if searched is not None and searched.is_exhausted:
            return "no_solution"
        if self._withholds:
            return "abstained"
        return "halted" if best.is_early and searched is None else "budget"
