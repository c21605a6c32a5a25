"""Whether a model and a task have the same cells and symbols."""

from __future__ import annotations

from sage.errors import InputError
from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.solving.engine import SegmentModel
from sage.hrm_core.tasks.contract import TaskSpec


def check_fit(model: SegmentModel, spec: TaskSpec) -> None:
    """InputError if the task has other symbols, or more or fewer cells, than the model."""
    front = model.config.front
    num_cells, num_symbols = (front.seq_len, front.vocab_size) if isinstance(front, TokenFront) else (0, 0)
    if (num_cells, num_symbols) != (spec.seq_len, spec.vocab_size):
        raise InputError(
            f"task {spec.name} has {spec.seq_len} cells of {spec.vocab_size} symbols, "
            f"the model {num_cells} of {num_symbols}: give the task it was trained on"
        )
