"""An application's own objects in and out of a solver: prepare, solve, process.

Invariant: an input that `prepare_input` refuses is not solved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.hrm_core.solving.inference import Answer, HRMInference
from sage.hrm_core.solving.solutions import Solution
from sage.hrm_core.tasks.proper import check_proper


class HRMAdapter:
    """`HRMAdapter(HRMInference("sudoku9")).predict(puzzle)`: without functions it takes text or cells and
    returns the Answer's plain dict.

    prepare: from the application's object to the puzzle as text, or to cells (L,).
    process: from (the application's object, the Answer) to what the application wants.
    """

    def __init__(
        self,
        inference: HRMInference,
        *,
        prepare: Callable[[Any], str | np.ndarray] | None = None,
        process: Callable[[Any, Answer], Any] | None = None,
    ) -> None:
        self.inference = inference
        self._prepare = prepare
        self._process = process

    def prepare_input(self, item: Any) -> np.ndarray:
        """(L,) int32. InputError if `item` is not a puzzle, or has other than one solution where the task
        states that it has one.
        """
        prepared = item if self._prepare is None else self._prepare(item)
        if isinstance(prepared, str):
            return self.inference.encode(prepared)
        cells = np.asarray(prepared)
        if cells.dtype.kind not in "iu" or cells.size != self.inference.num_cells:
            raise InputError(
                f"a puzzle is {type(prepared).__name__} of {cells.size} {cells.dtype}: "
                f"give text, or {self.inference.num_cells} whole numbers"
            )
        cells = cells.astype(np.int32).reshape(-1)
        check_proper(self.inference.task, cells)
        return cells

    def process_output(self, item: Any, cells: np.ndarray, solution: Solution) -> Any:
        """The Answer's plain dict, or the result of `process`."""
        answer = self.inference.answer(cells, solution)
        return answer.to_plain() if self._process is None else self._process(item, answer)

    def predict(self, item: Any, **changes: Any) -> Any:
        """The result for one item; `changes` are fields of SolveSettings. InputError if it is not a
        puzzle.
        """
        result = self.batch_predict([item], **changes)[0]
        if isinstance(result, InputError):
            raise result
        return result

    def batch_predict(self, items: Iterable[Any], **changes: Any) -> list[Any]:
        """One batch, in the order of `items`. An item that is not a puzzle has its InputError in its
        place.
        """
        items = list(items)
        prepared = [self._prepared_or_error(item) for item in items]
        cells = [each for each in prepared if not isinstance(each, InputError)]
        rows = np.array(cells, np.int32).reshape(len(cells), self.inference.num_cells)
        found = zip(rows, self.inference.solve_cells(rows, **changes))
        return [
            each if isinstance(each, InputError) else self.process_output(item, *next(found))
            for item, each in zip(items, prepared)
        ]

    def _prepared_or_error(self, item: Any) -> np.ndarray | InputError:
        try:
            return self.prepare_input(item)
        except InputError as error:
            return error
