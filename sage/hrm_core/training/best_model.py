"""The best model of a run, by the task's score, or the last, from its checkpoints.

Invariant: the weights are those that were evaluated: the average, if the run has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from sage.hrm_core.training.checkpoints import CheckpointFolder, read_state
from sage.hrm_core.training.errors import DamagedCheckpoint
from sage.hrm_core.training.shards import ShardError, read_shards

Which = Literal["best", "last"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BestModel:
    """weights: a state dict, on the CPU.  evaluation: EvalReport.to_plain() of that step, or None.

    cpu_secs, wall_secs: training time up to that step.
    """

    step: int
    weights: Mapping[str, Tensor]
    evaluation: Mapping[str, Any] | None
    cpu_secs: float
    wall_secs: float


def load_best_model(checkpoints: Path, which: Which) -> BestModel | None:
    """The checkpoint that `best` or `last` names; None if there is none yet. Raises DamagedCheckpoint,
    or ResumeError for one of another format.
    """
    path = CheckpointFolder(checkpoints).find(which)
    if path is None:
        return None
    state = read_state(path)
    try:
        tensors = read_shards(path, state["shared"])
    except ShardError as error:
        raise DamagedCheckpoint(str(error), "take another checkpoint") from error
    weights = _part(tensors, "model") | _part(tensors, "ema")
    plain = state["plain"]
    state_at_step = plain["standing"]
    return BestModel(
        step=state["step"],
        weights=weights,
        evaluation=plain["evaluation"],
        cpu_secs=state_at_step["cpu_secs"],
        wall_secs=state_at_step["wall_secs"],
    )


def _part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
