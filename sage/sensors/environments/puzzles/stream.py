"""The state of a puzzle stream: what is unanswered, what an answer leads to, the level.

Invariant: equal seeds and equal answers in equal order give equal puzzles, results and moves. No method
waits, except that without a thread (`Drawing`) puzzles are drawn when they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sage.sensors.environments.puzzles.config import PuzzlesConfig
from sage.sensors.environments.puzzles.drawing import Drawing, Drawn
from sage.sensors.environments.puzzles.grading import Grading
from sage.sensors.environments.puzzles.level_source import LevelSource
from sage.sensors.environments.puzzles.teacher import Teacher
from sage.sensors.puzzle_messages import Answer, Puzzle, Result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posed:
    """A puzzle that is not answered yet."""

    level: int
    drawn: Drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an answer leads to. new_level: where the stream moves to another level, else None."""

    result: Result
    new_level: int | None


class PuzzleStream:
    """From open to close of one environment. Used by one thread. state: of an earlier stream, which this one
    continues; the puzzles that were unanswered then, and what was drawn ahead, are left out.
    """

    def __init__(
        self,
        config: PuzzlesConfig,
        sources: Sequence[LevelSource],
        *,
        is_ahead: bool,
        state: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._sources = sources
        self._window = config.window
        self._drawing = Drawing(sources, is_ahead=is_ahead)
        self._grading = Grading(len(sources), first=config.first_level, seed=config.seed)
        self._teachers = [Teacher(config.teacher_of(level), seed=config.seed) for level in config.all_levels]
        self._posed: dict[int, Posed] = {}
        self._next_number = 0
        if state is not None:
            self._grading.load_state(state)
            self._next_number = int(state["next_number"][0])
            self._drawing.num_batches[:] = state["num_batches"].tolist()
        self._drawing.fill(self._grading.current)

    @property
    def level(self) -> int:
        """Index of the level in force."""
        return self._grading.current

    @property
    def num_unanswered(self) -> int:
        return len(self._posed)

    def next_puzzle(self) -> Puzzle | None:
        """None while the window is full, or while the puzzle is being drawn."""
        if len(self._posed) >= self._window:
            return None
        number = self._next_number
        level = self._grading.level_of(number)
        drawn = self._drawing.take(level)
        if drawn is None:
            return None
        self._prepare_the_next_level()
        self._next_number += 1
        self._posed[number] = Posed(level=level, drawn=drawn)
        return Puzzle(number=number, level=level, cells=drawn.cells)

    def answer(self, answer: Answer) -> Outcome | None:
        """None for a puzzle that is not waiting for an answer. Abstaining is an answer that is not right."""
        posed = self._posed.pop(answer.number, None)
        if posed is None:
            return None
        is_right = self._is_right(posed, answer.cells)
        task, drawn = self._sources[posed.level].task, posed.drawn
        result = Result(
            number=answer.number,
            level=posed.level,
            is_right=is_right,
            solution=self._teachers[posed.level].solution(answer.number, task, drawn.cells, drawn.solution),
        )
        has_moved = self._grading.note(posed.level, is_right=is_right)
        return Outcome(result=result, new_level=self._grading.current if has_moved else None)

    def state(self) -> dict[str, np.ndarray]:
        """Copies: level, counts, the number of the next puzzle, and batches drawn."""
        return {
            **self._grading.state(),
            "next_number": np.array([self._next_number], np.int64),
            "num_batches": np.array(self._drawing.num_batches, np.int64),
        }

    def close(self) -> None:
        self._posed.clear()
        self._drawing.close()

    def _is_right(self, posed: Posed, cells: np.ndarray) -> bool:
        if len(cells) != len(posed.drawn.cells):
            return False
        return bool(self._sources[posed.level].task.verify(posed.drawn.cells[None], cells[None])[0])

    def _prepare_the_next_level(self) -> None:
        if self._grading.current + 1 < len(self._sources):
            self._drawing.prepare(self._grading.current + 1)
