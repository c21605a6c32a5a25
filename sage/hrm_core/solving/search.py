"""The second stage of a puzzle: best-first search over the model, from the output of the plain try.

A node is a partial answer. The model reads it; its probabilities complete it, and rank the choices that may
follow. The node of the highest rank is read next: the sum of the log probabilities of its choices, less a
penalty for signs of a conflict in its parent's output. A call is one row through its segments; the plain try
is the first.

Invariant: the tree is a function of the puzzle and the settings (see `waves`), unless a time limit ends it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sage.hrm_core.solving.branching import Searchable, children_of, choice_log_probs, line_deviation
from sage.hrm_core.solving.candidate_sets import CandidateSets
from sage.hrm_core.solving.row import Reading, Row
from sage.hrm_core.solving.search_record import SearchRecord
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.waves import Waves
from sage.hrm_core.tasks.lines import exclusive_lines, has_exclusive_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """number: in the order in which nodes were made.  partial (L,) int32.  score: sum of the log
    probabilities of its choices.  guesses: (cell, symbol) of each.
    candidates (L, K) bool: for a model with deduction heads, what its kills and the choices left; else None.
    """

    number: int
    partial: np.ndarray
    score: float
    guesses: tuple[tuple[int, int], ...]
    candidates: np.ndarray | None = None


class Search(Waves[Node]):
    """puzzle (L,) int32.  first: the plain try, which has ended.  clock: seconds.  sets: of a model with
    deduction heads: a node then has candidates too, and the model reads the puzzle with them. A killed
    candidate comes last among the choices, and is not lost.
    record: filled with the nodes, where one is given.
    """

    def __init__(
        self,
        task: Searchable,
        puzzle: np.ndarray,
        settings: SolveSettings,
        *,
        seed: int,
        first: Row,
        clock: Callable[[], float],
        sets: CandidateSets | None = None,
        record: SearchRecord | None = None,
    ) -> None:
        super().__init__(puzzle, settings, clock)
        self._task = task
        self._seed = seed
        self._sets = None if settings.scorer == "uniform" or task.spec.blank is None else sets
        self._record = record
        self._lines = exclusive_lines(task.spec) if has_exclusive_lines(task.spec) else None
        self._frontier: list[tuple[float, int, Node]] = []
        start = None if self._sets is None else self._sets.start(puzzle)
        root = Node(number=0, partial=puzzle, score=0.0, guesses=(), candidates=start)
        if record is not None:
            record.add(puzzle, parent=-1)
        if bool(task.may_extend(puzzle[None], puzzle[None])[0]):
            self._judge([(root, first)])

    @property
    def width(self) -> int:
        return self._settings.search_width

    @property
    def is_exhausted(self) -> bool:
        """Whether the whole tree was searched."""
        return self.is_over and not self._frontier and not self.num_diverged

    def _read_by(self, state: Node) -> tuple[np.ndarray, np.ndarray | None]:
        if state.candidates is not None:
            return self._puzzle, state.candidates
        inputs = self._task.as_inputs(self._puzzle[None], state.partial[None])[0]
        return inputs.astype(np.int32), None

    def _judge(self, wave: list[tuple[Node, Row]]) -> None:
        """Complete and verify the answers of a wave; without a verified one, expand its nodes."""
        puzzles = np.repeat(self._puzzle[None], len(wave), axis=0)
        partials = np.array([node.partial for node, _ in wave])
        readings = [self._scored(row) for _, row in wave]
        answers = np.array([reading.log_probs.argmax(axis=-1) for reading in readings], np.int32)
        completed = self._task.complete(puzzles, partials, answers)
        is_verified = self._task.verify(puzzles, completed)
        for (node, row), cells, verified in zip(wave, completed, is_verified):
            self.depth = max(self.depth, len(node.guesses))
            if self._record is not None:
                self._record.note_read(node.number)
            attempt = self.attempt(row, cells, is_verified=bool(verified), merit=row.merit)
            if attempt.beats(self.best):
                self.best, self.guesses = attempt, node.guesses
                if self._record is not None and verified:
                    self._record.answer = node.number
        if self.best is not None and self.best.is_verified:
            return
        all_log_probs = np.stack([reading.log_probs for reading in readings])
        choices = choice_log_probs(self._task, puzzles, partials, all_log_probs)
        for (node, _), reading, log_probs in zip(wave, readings, choices):
            if np.isfinite(reading.log_probs).all():
                self._expand(node, log_probs, reading)
            else:
                self.num_diverged += 1
        self._begin_wave()

    def _penalty(self, node: Node, reading: Reading) -> float:
        """What the rank of a node's children loses to the model's conflict head, and to probabilities that
        contradict each other.
        """
        penalty = 0.0
        if reading.conflict is not None:
            penalty = self._settings.conflict_weight * float(np.logaddexp(0.0, reading.conflict))
        if self._lines is not None and self._settings.line_weight > 0:
            deviation = line_deviation(
                node.partial, reading.log_probs, self._lines, self._task.spec.alike_from or 0
            )
            penalty += self._settings.line_weight * deviation
        return penalty

    def _expand(self, node: Node, log_probs: np.ndarray, reading: Reading) -> None:
        penalty, left = self._penalty(node, reading), self._left(node, reading)
        found = children_of(self._task, self._puzzle, node.partial, log_probs, self._settings.branching)
        order = np.argsort(-found.log_probs, kind="stable")
        if self._record is not None:
            ranks = (node.score + found.log_probs[order] - penalty).tolist()
            self._record.note_expanded(node.number, found.partials[order], ranks)
        for index in order:
            cell, symbol = (int(each) for each in found.choices[index])
            child = Node(
                number=self.num_states,
                partial=found.partials[index],
                score=node.score + float(found.log_probs[index]),
                guesses=(*node.guesses, (cell, symbol)),
                candidates=None
                if left is None or self._sets is None
                else self._sets.pinned(left, cell, symbol),
            )
            heapq.heappush(self._frontier, (round(penalty - child.score, 4), self.num_states, child))
            self.num_states += 1

    def _left(self, node: Node, reading: Reading) -> np.ndarray | None:
        """(L, K) the node's candidates after the model's kills; all of a cell that would have none left."""
        if self._sets is None or node.candidates is None or reading.keep is None:
            return None
        below = self._settings.kills_below
        left = self._sets.after_kills(node.candidates, reading.keep, self._puzzle, below)
        kept: np.ndarray = np.where(left.any(axis=1, keepdims=True), left, node.candidates)
        return kept

    def _begin_wave(self) -> None:
        """The best nodes of the frontier, as many as the width and the budget allow."""
        num = min(self.width, self.calls_left, len(self._frontier))
        nodes = [heapq.heappop(self._frontier)[-1] for _ in range(num)]
        self.begin((node.number, node) for node in nodes)

    def _scored(self, row: Row) -> Reading:
        """The model's output; with scorer 'uniform', random numbers of the same shape in its place."""
        assert row.reading is not None
        if self._settings.scorer == "model":
            return row.reading
        shape = row.reading.log_probs.shape
        number = 0 if row.is_try else row.number
        drawn = np.random.default_rng((self._seed, number)).random(shape) + 1e-6
        log_probs = np.log(drawn / drawn.sum(axis=-1, keepdims=True)).astype(np.float32)
        return Reading(log_probs=log_probs)
