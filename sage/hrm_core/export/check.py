"""An exported file compared with its model: one segment against torch, and whole puzzles by the task's rules.

Invariant: both solve the same held-out puzzles, in the same segments, with no halting: nothing but the file
differs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.solving.onnx_model import OnnxModel
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.contract import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportCheck:
    """max_difference: of any logit after one segment.  agreement: share of cells answered alike after all
    segments.
    exact, exported_exact: share of puzzles solved by the model, by the file."""

    num_puzzles: int
    num_segments: int
    max_difference: float
    agreement: float
    exact: float
    exported_exact: float


def check_export(
    model: HRM, exported: OnnxModel, task: Task, *, num_puzzles: int = 100, num_segments: int = 16
) -> ExportCheck:
    """On the first held-out puzzles of the task."""
    examples = task.held_out(num_puzzles)
    answers = [
        Solver(each, task).solve(
            examples.inputs, halt="never", max_segments=num_segments, puzzle_ids=examples.puzzle_ids
        )
        for each in (model, exported)
    ]
    return ExportCheck(
        num_puzzles=len(examples),
        num_segments=num_segments,
        max_difference=compare_segment(model, exported, examples.inputs[:8]),
        agreement=float((answers[0].answers == answers[1].answers).mean()),
        exact=float(answers[0].is_verified.mean()),
        exported_exact=float(answers[1].is_verified.mean()),
    )


@torch.inference_mode()
def compare_segment(model: HRM, exported: OnnxModel, inputs: np.ndarray) -> float:
    """The greatest difference of a logit, and of a Q value, after one segment from the start; inputs (N,
    L).
    """
    rows = torch.from_numpy(np.ascontiguousarray(inputs))
    batch = TokenBatch(inputs=rows, labels=rows, puzzle_ids=torch.full((len(rows),), -1, dtype=torch.int32))
    (_, ours), (_, theirs) = (
        each.segment(each.initial_carry(len(rows)), batch) for each in (model, exported)
    )
    pairs = ((ours.logits, theirs.logits), (ours.q_halt, theirs.q_halt), (ours.q_continue, theirs.q_continue))
    differences = [
        (mine - other).abs().max() for mine, other in pairs if mine is not None and other is not None
    ]
    return float(max(differences))  # sync: once
