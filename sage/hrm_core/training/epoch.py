"""How many training examples an epoch has.

Loaded data: their number of groups times the mean number of examples, as the published trainer counts.
Generated puzzles are unlimited: an epoch of them has GENERATED_EPOCH puzzles.
"""

from __future__ import annotations

from sage.hrm_core.tasks.arc.task import ArcTask
from sage.hrm_core.tasks.contract import Task

GENERATED_EPOCH = 1000


def examples_per_epoch(task: Task) -> float:
    """Training examples in one epoch of `task`: its attribute `examples_per_epoch`, or counted from its
    data.
    """
    own = getattr(task, "examples_per_epoch", None)
    if own is not None:
        return float(own)
    if isinstance(task, ArcTask):
        trained = sum(len(puzzle.demonstrations) + len(puzzle.tests) for puzzle in task.training)
        return float(trained + sum(len(puzzle.demonstrations) for puzzle in task.evaluation))
    train = getattr(task, "train", None)
    metadata = getattr(train, "metadata", None)
    if metadata is not None:
        return float(metadata.total_groups * metadata.mean_puzzle_examples)
    return float(GENERATED_EPOCH if train is None else len(train))
