"""Rows of one puzzle that are read together: what the best-first search and the chains share.

Invariant: a wave counts when all of its rows have ended, so that what follows it does not depend on the other
rows of the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import numpy as np

from sage.hrm_core.solving.attempt import Attempt
from sage.hrm_core.solving.row import Row
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import SearchTrace

State = TypeVar("State")


class Waves(ABC, Generic[State]):
    """The second stage of a puzzle, in waves of states: nodes or chains.

    best: the answer so far.  num_diverged: states whose output was not finite.  num_calls: the plain try
    included.  num_states: the puzzle included.  guesses: those that led to `best`.
    """

    def __init__(self, puzzle: np.ndarray, settings: SolveSettings, clock: Callable[[], float]) -> None:
        self.best: Attempt | None = None
        self.num_diverged = 0
        self.num_calls = 1
        self.num_states = 1
        self.depth = 0
        self.guesses: tuple[tuple[int, int], ...] = ()
        self._puzzle = puzzle
        self._settings = settings
        self._clock = clock
        self._ends_at = None if settings.search_seconds is None else clock() + settings.search_seconds
        self._wave: dict[int, State] = {}
        self._waiting: deque[int] = deque()
        self._ended: dict[int, Row] = {}

    @abstractmethod
    def _read_by(self, state: State) -> tuple[np.ndarray, np.ndarray | None]:
        """What the model reads for a state: cells (L,), and candidates (L, K) or None."""

    @abstractmethod
    def _judge(self, wave: list[tuple[State, Row]]) -> None:
        """Use the outputs of a wave: set `best`, or begin another wave."""

    @property
    @abstractmethod
    def width(self) -> int:
        """States of a wave at most."""

    @property
    @abstractmethod
    def is_exhausted(self) -> bool:
        """Whether everything was searched, so that the puzzle has no solution."""

    @property
    def has_more(self) -> bool:
        """Whether a row of this wave is still to be started."""
        return bool(self._waiting)

    @property
    def is_over(self) -> bool:
        return not self._wave

    @property
    def calls_left(self) -> int:
        """Of the budget; 0 once the time is up."""
        if self._ends_at is not None and self._clock() >= self._ends_at:
            return 0
        return max(0, self._settings.search - self.num_calls)

    def begin(self, states: Iterable[tuple[int, State]]) -> None:
        """Begin a wave of these states; a number is not used twice in a puzzle."""
        self._wave = dict(states)
        self._waiting.extend(self._wave)

    def start(self) -> Row:
        number = self._waiting.popleft()
        self.num_calls += 1
        inputs, candidates = self._read_by(self._wave[number])
        return Row(
            number=number,
            inputs=inputs,
            settings=self._settings,
            max_segments=self._settings.search_segments,
            is_try=False,
            reads_output=True,
            candidates=candidates,
        )

    def needs(self, row: Row) -> bool:
        return row.number in self._wave and row.number not in self._ended

    def end(self, row: Row) -> None:
        """Record the output of a row; the last of its wave ends the wave."""
        self._ended[row.number] = row
        if len(self._ended) == len(self._wave):
            wave = [(state, self._ended[number]) for number, state in self._wave.items()]
            self._wave = {}
            self._ended.clear()
            self._judge(wave)

    def attempt(self, row: Row, cells: np.ndarray, *, is_verified: bool, merit: float) -> Attempt:
        """The answer that a row led to; it is numbered after the tries."""
        return Attempt(
            number=self._settings.tries,
            cells=cells.astype(np.int32),
            q=row.q,
            merit=merit,
            is_verified=is_verified,
            num_segments=row.num_segments,
            is_early=False,
        )

    def trace_of(self, answer: Attempt) -> SearchTrace:
        """answer: the puzzle's; the guesses are its own where this stage found it."""
        return SearchTrace(
            calls=self.num_calls,
            budget=self._settings.search,
            nodes=self.num_states,
            depth=self.depth,
            width=self.width,
            guesses=self.guesses if answer is self.best else (),
        )
