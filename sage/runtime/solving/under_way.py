"""Puzzles under way at one level: their rows live in one engine, from tick to tick.

Invariant: a puzzle ends once, by the engine (Q head, rules, budget) or by `conclude` (deadline).
Shapes: L cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sage.errors import InputError
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.engine import Engine
from sage.hrm_core.solving.job import Job
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import Outcome, Solution, confidence_of
from sage.hrm_core.tasks.contract import Task
from sage.runtime.config import SolvingConfig
from sage.runtime.solving.models import segments_of
from sage.runtime.solving.schedule import Claim, rise_of
from sage.sensors.puzzle_messages import Puzzle

#: Segments of a puzzle at most, over all weights that it was begun with, in budgets of one.
MOST_BUDGETS = 3.0


@dataclass(slots=True, kw_only=True, eq=False)
class UnderWay:
    """A puzzle that is not answered yet.

    tick: when it was read.  deadline_ns: on the loop's clock, None for no limit.  job: of the engine.
    num_earlier: segments spent before the weights changed.  confidences: after each segment since then, 0..1.
    num_open: cells that changed in each segment.  answer: (L,) so far, None before the first segment.
    """

    puzzle: Puzzle
    tick: int
    deadline_ns: int | None
    job: Job
    num_earlier: int = 0
    confidences: list[float] = field(default_factory=list)
    num_open: list[int] = field(default_factory=list)
    answer: np.ndarray | None = None
    weights_changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A puzzle with the answer that is to be given. cells: (L,) int32; empty when the solver abstains.
    outcome: how solving ended."""

    puzzle: Puzzle
    tick: int
    cells: np.ndarray
    confidence: float
    num_segments: int
    num_calls: int
    num_open: tuple[int, ...]
    weights_changed: bool
    outcome: Outcome = "abstained"

    @property
    def is_abstained(self) -> bool:
        return len(self.cells) == 0


class LevelRows:
    """The engine of one level and its puzzles. num_waited: choices since its last segment.  num_cells: L."""

    def __init__(self, model: HRM, task: Task, config: SolvingConfig, seed: int) -> None:
        self.num_waited = 0
        self.num_cells = task.spec.seq_len
        self._settings = settings_of(config, seed).changed(max_segments=segments_of(model, config))
        self._engine = Engine(model, task, batch_size=config.rows, on_segment=self._note)
        self._live: dict[Job, UnderWay] = {}

    def __len__(self) -> int:
        return len(self._live)

    @property
    def first(self) -> UnderWay | None:
        """The puzzle that was read first."""
        return next(iter(self._live.values()), None)

    @property
    def num_next_rows(self) -> int:
        return self._engine.num_next_rows

    def add(self, puzzle: Puzzle, tick: int, deadline_ns: int | None) -> None:
        """InputError if the puzzle does not fit the level."""
        job = self._engine.submit(puzzle.cells, self._settings)
        self._live[job] = UnderWay(puzzle=puzzle, tick=tick, deadline_ns=deadline_ns, job=job)

    def claim(self, reward: float) -> Claim:
        """What the scheduler compares. reward: at stake for one answer."""
        deadlines = [each.deadline_ns for each in self._live.values() if each.deadline_ns is not None]
        rises = [rise_of(each.confidences) for each in self._live.values()]
        return Claim(
            deadline_ns=min(deadlines) if deadlines else None,
            gain=reward * float(np.mean(rises)),
            num_waited=self.num_waited,
        )

    def step(self) -> tuple[int, list[Answered]]:
        """One segment for every row. Returns the segments computed and the puzzles that it ended."""
        before = self._engine.num_segments_spent
        ended = [self._end(self._live.pop(job), job.solution()) for job in self._engine.step()]
        return self._engine.num_segments_spent - before, ended

    def conclude(self, now_ns: int) -> list[Answered]:
        """Puzzles whose deadline is over, with their best answer so far; without one they abstain."""
        late = [
            each
            for each in self._live.values()
            if each.deadline_ns is not None and each.deadline_ns <= now_ns
        ]
        for each in late:
            del self._live[each.job]
        return [self._end(each, self._engine.conclude(each.job)) for each in late]

    def restart(self) -> None:
        """The weights changed: every puzzle under way starts again from the initial carry."""
        live, self._live = self._live, {}
        for old, each in live.items():
            self._engine.withdraw(old)
            each.num_earlier += old.num_segments_spent
            job = self._engine.submit(each.puzzle.cells, self._left_after(each.num_earlier))
            each.job = job
            each.weights_changed = True
            each.confidences.clear()
            self._live[job] = each

    def _left_after(self, num_segments: int) -> SolveSettings:
        """Settings for a puzzle that has spent so many: of MOST_BUDGETS, so that new weights every few
        seconds do not keep a puzzle under way for ever.
        """
        settings = self._settings
        budget = settings.max_segments + settings.search * settings.search_segments
        share = min(max(MOST_BUDGETS - num_segments / budget, 0.0), 1.0)
        if share == 1.0:
            return settings
        return settings.changed(
            max_segments=max(round(share * settings.max_segments), 1),
            search=max(round(share * settings.search), 1) if settings.search else 0,
        )

    def _note(self, job: Job, q: float, answer: np.ndarray) -> None:
        each = self._live.get(job)
        if each is None:
            return
        num_changed = len(answer) if each.answer is None else int((answer != each.answer).sum())
        each.num_open.append(num_changed)
        each.confidences.append(float(confidence_of(q)))
        each.answer = answer.copy()

    def _end(self, each: UnderWay, solution: Solution | None) -> Answered:
        is_given = solution is not None and not solution.is_abstained
        calls = 1 if solution is None or solution.trace is None else solution.trace.calls
        return Answered(
            puzzle=each.puzzle,
            tick=each.tick,
            cells=solution.cells if solution is not None and is_given else np.zeros(0, dtype=np.int32),
            confidence=0.0 if solution is None else solution.confidence,
            num_segments=each.num_earlier + each.job.num_segments_spent,
            num_calls=calls,
            num_open=tuple(each.num_open),
            weights_changed=each.weights_changed,
            outcome="abstained" if solution is None else solution.outcome,
        )


def settings_of(config: SolvingConfig, seed: int) -> SolveSettings:
    """How one puzzle is solved. InputError for a search without asks_rules."""
    if config.search and not config.asks_rules:
        raise InputError(
            f"solving.search is {config.search}: a search checks its answers by the task's rules: set"
            " solving.asks_rules"
        )
    return SolveSettings(
        max_segments=config.max_segments,
        halt="verifier" if config.asks_rules else "q",
        min_confidence=config.min_confidence,
        search=config.search,
        seed=seed,
    )
