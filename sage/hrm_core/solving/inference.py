"""Inference with a trained model, by name or path: `HRMInference("sudoku9").solve_one(puzzle)`.

Invariant: no state between calls, so threads may share an instance. `solve` raises for a wrong puzzle before
it solves any; `batch_predict` returns the error in the puzzle's place.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from sage.errors import InputError
from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.branching import as_searchable
from sage.hrm_core.solving.fit import check_fit
from sage.hrm_core.solving.forms import FormChoice, in_best_form
from sage.hrm_core.solving.published import Published, load_published
from sage.hrm_core.solving.settings import USUAL, SolveSettings
from sage.hrm_core.solving.solutions import Solution, Solutions
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.contract import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A choice of the search. cell: its index.  symbol: its number.  In a grid also row and column, from 1,
    and the symbol as text.
    """

    cell: int
    symbol: int
    row: int | None = None
    column: int | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """puzzle, answer: in the task's text form; answer is None if the solver abstained.  solution: cells and
    cost.  guesses: the choices of the search that led to the answer.
    """

    puzzle: str
    answer: str | None
    solution: Solution
    guesses: tuple[Guess, ...] = ()

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
            "outcome": solution.outcome,
            "search": self._plain_trace(),
        }

    def _plain_trace(self) -> dict[str, Any] | None:
        trace = self.solution.trace
        if trace is None:
            return None
        guesses = [
            {name: value for name, value in dataclasses.asdict(guess).items() if value is not None}
            for guess in self.guesses
        ]
        return {**dataclasses.asdict(trace), "guesses": guesses}


class HRMInference:
    """checkpoint: a shipped name, a folder, a file, a hub repository, or a Published.

    task: needed if the checkpoint names none; InputError if its size is not the model's.  dtype: weights are
    cast to it once, e.g. torch.bfloat16; None keeps theirs (an ONNX file always does); "auto": what costs
    least on this machine, see `forms.in_best_form`.
    settings: the defaults of `solve`.  num_segments: of a batch that will be run, for "auto".
    """

    def __init__(
        self,
        checkpoint: str | Path | Published,
        *,
        task: Task | None = None,
        device: str = "cpu",
        dtype: torch.dtype | Literal["auto"] | None = "auto",
        settings: SolveSettings = USUAL,
        batch_size: int = 64,
        num_segments: float = 1.0,
    ) -> None:
        published = (
            checkpoint if isinstance(checkpoint, Published) else load_published(checkpoint, device=device)
        )
        if task is not None:
            check_fit(published.model, task.spec)
        self.name = published.name
        self.card = published.card
        self.model = published.model
        self.form = FormChoice(form="", reason="the caller gave a dtype")
        if dtype == "auto":
            self.model, self.form = in_best_form(self.model, num_segments=num_segments)
        elif dtype is not None and isinstance(self.model, HRM):
            self.model = self.model.to_inference(dtype)
        self.task = task or published.task
        self.settings = settings
        self.batch_size = batch_size
        self._solver = Solver(self.model, self.task)
        self._at_side: dict[int, HRMInference] = {}

    def at_side(self, side: int) -> HRMInference:
        """The same model and settings for grids of `side` rows. InputError for a side that it does not
        solve.
        """
        own = Published(name=self.name, model=self.model, task=self.task, card=self.card)
        return HRMInference(own.at_side(side), settings=self.settings, batch_size=self.batch_size)

    def for_puzzle(self, puzzle: str) -> HRMInference:
        """Itself, or the same model at the side of the puzzle's grid, where its card has `sizes`. InputError
        for a side outside them.
        """
        if self.card is None or self.card.sizes is None:
            return self
        side = self.card.side_among(self._text_form("sides")(puzzle))
        if side is None or side**2 == self.num_cells:
            return self  # its encode raises where the text is no square
        if side not in self._at_side:
            self._at_side[side] = self.at_side(side)
        return self._at_side[side]

    @property
    def is_searchable(self) -> bool:
        """Whether `search` can be set: the task checks partial answers."""
        return as_searchable(self.task) is not None

    @property
    def num_cells(self) -> int:
        front = self.model.config.front
        assert isinstance(front, TokenFront)
        return front.seq_len

    def encode(self, puzzle: str) -> np.ndarray:
        """(L,) int32. InputError for a wrong puzzle."""
        cells: np.ndarray = self._text_form("encode")(puzzle)
        return cells

    def encode_each(self, puzzles: Sequence[str]) -> list[tuple[HRMInference, np.ndarray]]:
        """For each puzzle the inference of its size (`for_puzzle`), and its cells (L,). The InputError of one
        of several puzzles has its number, from 1.
        """
        encoded: list[tuple[HRMInference, np.ndarray]] = []
        try:
            for puzzle in puzzles:
                inference = self.for_puzzle(puzzle)
                encoded.append((inference, inference.encode(puzzle)))
        except InputError as error:
            raise InputError(
                f"puzzle {len(encoded) + 1} of {len(puzzles)}: {error}" if len(puzzles) > 1 else str(error)
            ) from error
        return encoded

    def decode(self, cells: np.ndarray) -> str:
        return str(self._text_form("decode")(cells))

    def render(self, cells: np.ndarray) -> str:
        """A drawing of several lines."""
        return str(self._text_form("render")(cells))

    def solve_cells(
        self, inputs: np.ndarray, *, puzzle_ids: np.ndarray | None = None, **changes: Any
    ) -> Solutions:
        """inputs (N, L); `changes` are fields of SolveSettings."""
        return self._solver.solve(
            inputs, self.settings, puzzle_ids=puzzle_ids, batch_size=self.batch_size, **changes
        )

    def solve(self, puzzles: Sequence[str], **changes: Any) -> list[Answer]:
        """One answer for each puzzle in text form; those of one size are solved in one batch. InputError has
        the number of the wrong one.
        """
        return self._solve_encoded(self.encode_each(puzzles), changes)

    def _solve_encoded(
        self, encoded: Sequence[tuple[HRMInference, np.ndarray]], changes: Mapping[str, Any]
    ) -> list[Answer]:
        answers: dict[int, Answer] = {}
        for inference in dict.fromkeys([self, *(each for each, _ in encoded)]):
            rows = [row for row, (each, _) in enumerate(encoded) if each is inference]
            cells = np.array([encoded[row][1] for row in rows], np.int32).reshape(-1, inference.num_cells)
            found = inference.solve_cells(cells, **changes)
            answers |= {row: inference.answer(*each) for row, each in zip(rows, zip(cells, found))}
        return [answers[row] for row in range(len(encoded))]

    def batch_predict(self, puzzles: Sequence[str], **changes: Any) -> list[Answer | InputError]:
        """In the order of `puzzles`: an Answer, or the InputError of a puzzle that is wrong. One batch for
        the rest.
        """
        encoded = [self._encoded_or_error(puzzle) for puzzle in puzzles]
        found = iter(
            self._solve_encoded([each for each in encoded if not isinstance(each, InputError)], changes)
        )
        return [each if isinstance(each, InputError) else next(found) for each in encoded]

    def _encoded_or_error(self, puzzle: str) -> tuple[HRMInference, np.ndarray] | InputError:
        try:
            return self.encode_each([puzzle])[0]
        except InputError as error:
            return error

    def solve_one(self, puzzle: str, **changes: Any) -> Answer:
        return self.solve([puzzle], **changes)[0]

    def answer(self, cells: np.ndarray, solution: Solution) -> Answer:
        """A solution in the task's text form."""
        text = None if solution.is_abstained else self.decode(solution.cells)
        return Answer(
            puzzle=self.decode(cells), answer=text, solution=solution, guesses=self._guesses(cells, solution)
        )

    def _guesses(self, cells: np.ndarray, solution: Solution) -> tuple[Guess, ...]:
        choices = () if solution.trace is None else solution.trace.guesses
        grid = None if self.task is None else self.task.spec.grid
        if grid is None or not choices:
            return tuple(Guess(cell=cell, symbol=symbol) for cell, symbol in choices)
        chosen = cells.copy()
        for cell, symbol in choices:
            chosen[cell] = symbol
        text = self.decode(chosen).replace("\n", "")
        return tuple(
            Guess(
                cell=cell,
                symbol=symbol,
                row=cell // grid[1] + 1,
                column=cell % grid[1] + 1,
                text=text[cell] if len(text) == len(cells) else None,
            )
            for cell, symbol in choices
        )

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


def solve(puzzle: str, checkpoint: str | Path | Published = "sudoku9", **changes: Any) -> Answer:
    """One puzzle in text form, by a shipped model's name or a path; `changes` are fields of SolveSettings.

    It loads the model at each call: keep an HRMInference for more than one puzzle. InputError for a wrong
    puzzle,
    CheckpointError for a wrong checkpoint.
    """
    return HRMInference(checkpoint).solve_one(puzzle, **changes)
