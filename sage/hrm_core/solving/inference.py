"""A trained model by its name or its place, ready to answer: `HRMInference("sudoku9").solve_one(puzzle)`.

Invariant: nothing is kept between calls, so that threads may share one; a puzzle that is wrong raises before
any is solved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sage.errors import InputError
from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.published import Published, check_fit, load_published
from sage.hrm_core.solving.settings import USUAL, SolveSettings
from sage.hrm_core.solving.solutions import Solution, Solutions
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.contract import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """puzzle, answer: as the task writes them; answer None: the solver abstained.  solution: its cells and
    its cost.
    """

    puzzle: str
    answer: str | None
    solution: Solution

    def to_plain(self) -> dict[str, Any]:
        """For JSON: no arrays, no NaN."""
        solution = self.solution
        return {
            "puzzle": self.puzzle,
            "answer": self.answer,
            "is_verified": solution.is_verified,
            "is_abstained": solution.is_abstained,
            "confidence": solution.confidence if math.isfinite(solution.confidence) else None,
            "num_segments": solution.num_segments,
            "num_segments_spent": solution.num_segments_spent,
            "is_halted_early": solution.is_halted_early,
            "attempt": solution.attempt,
        }


class HRMInference:
    """checkpoint: a shipped name, a folder, a file, a hub repository, or what load_published gave.

    task: only where the checkpoint does not name its own.  dtype: cast once, e.g. torch.bfloat16; None leaves
    the weights, and an ONNX file keeps its own.
    settings: what `solve` uses where a call does not say otherwise.
    """

    def __init__(
        self,
        checkpoint: str | Path | Published,
        *,
        task: Task | None = None,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        settings: SolveSettings = USUAL,
        batch_size: int = 64,
    ) -> None:
        published = (
            checkpoint if isinstance(checkpoint, Published) else load_published(checkpoint, device=device)
        )
        if task is not None:
            check_fit(published.model, task)
        self.name, self.card = published.name, published.card
        self.model = published.model
        if dtype is not None and isinstance(self.model, HRM):
            self.model = self.model.to_inference(dtype)
        self.task, self.settings, self.batch_size = task or published.task, settings, batch_size
        self._solver = Solver(self.model, self.task)

    @property
    def num_cells(self) -> int:
        front = self.model.config.front
        assert isinstance(front, TokenFront)
        return front.seq_len

    def encode(self, puzzle: str) -> np.ndarray:
        """(L,) int32. InputError that says what is wrong with the puzzle."""
        cells: np.ndarray = self._text_form("encode")(puzzle)
        return cells

    def encode_all(self, puzzles: Sequence[str]) -> np.ndarray:
        """(N, L) int32. Of several, the InputError names the one that is wrong, counted from 1."""
        cells = np.zeros((len(puzzles), self.num_cells), np.int32)
        index = 0
        try:
            for index, puzzle in enumerate(puzzles):
                cells[index] = self.encode(puzzle)
        except ValueError as error:
            raise InputError(
                f"puzzle {index + 1} of {len(puzzles)}: {error}" if len(puzzles) > 1 else str(error)
            ) from error
        return cells

    def decode(self, cells: np.ndarray) -> str:
        return str(self._text_form("decode")(cells))

    def render(self, cells: np.ndarray) -> str:
        """As people draw it, several lines."""
        return str(self._text_form("render")(cells))

    def solve_cells(
        self, inputs: np.ndarray, *, puzzle_ids: np.ndarray | None = None, **changes: Any
    ) -> Solutions:
        """inputs (N, L); `changes` are fields of SolveSettings."""
        return self._solver.solve(
            inputs, self.settings, puzzle_ids=puzzle_ids, batch_size=self.batch_size, **changes
        )

    def solve(self, puzzles: Sequence[str], **changes: Any) -> list[Answer]:
        """One answer for each puzzle as people type it. InputError names the one that is wrong."""
        cells = self.encode_all(puzzles)
        found = self.solve_cells(cells, **changes)
        return [self.answer(cells[index], found[index]) for index in range(len(puzzles))]

    def solve_one(self, puzzle: str, **changes: Any) -> Answer:
        return self.solve([puzzle], **changes)[0]

    def answer(self, cells: np.ndarray, solution: Solution) -> Answer:
        """A solution in the task's words."""
        text = None if solution.is_abstained else self.decode(solution.cells)
        return Answer(puzzle=self.decode(cells), answer=text, solution=solution)

    def _text_form(self, method: str) -> Any:
        found = getattr(self.task, method, None)
        if found is None:
            said = (
                "its checkpoint names no task"
                if self.task is None
                else f"task {self.task.spec.name} has no text form"
            )
            raise InputError(f"{self.name}: {said}: give `task`, or cells to solve_cells")
        return found
