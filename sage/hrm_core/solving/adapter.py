"""Between an application's own objects and a solver: prepare, solve, process.

Invariant: an input that `prepare_input` refuses reaches no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.hrm_core.solving.inference import Answer, HRMInference
from sage.hrm_core.solving.solutions import Solution


class HRMAdapter:
    """`HRMAdapter(HRMInference("sudoku9")).predict(puzzle)` as it stands takes text or cells and gives a
    plain dict.

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
        self.inference, self._prepare, self._process = inference, prepare, process

    def prepare_input(self, item: Any) -> np.ndarray:
        """(L,) int32. InputError for what is no puzzle."""
        prepared = item if self._prepare is None else self._prepare(item)
        if isinstance(prepared, str):
            return self.inference.encode(prepared)
        cells = np.asarray(prepared)
        if cells.dtype.kind not in "iu" or cells.size != self.inference.num_cells:
            raise InputError(
                f"a puzzle is {type(prepared).__name__} of {cells.size} {cells.dtype}: "
                f"give text, or {self.inference.num_cells} whole numbers"
            )
        return cells.astype(np.int32).reshape(-1)

    def process_output(self, item: Any, cells: np.ndarray, solution: Solution) -> Any:
        """The Answer's plain dict, or what `process` makes of it."""
        answer = self.inference.answer(cells, solution)
        return answer.to_plain() if self._process is None else self._process(item, answer)

    def predict(self, item: Any, **changes: Any) -> Any:
        """One item; `changes` are fields of SolveSettings."""
        return self.batch_predict([item], **changes)[0]

    def batch_predict(self, items: Iterable[Any], **changes: Any) -> list[Any]:
        """All of them in one batch, in their order."""
        items = list(items)
        cells = np.array([self.prepare_input(item) for item in items], np.int32).reshape(
            len(items), self.inference.num_cells
        )
        found = self.inference.solve_cells(cells, **changes)
        return [self.process_output(item, cells[row], found[row]) for row, item in enumerate(items)]
