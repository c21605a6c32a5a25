"""A training run carried from one short GPU job to the next, in files of less than 16 MiB.

Invariant: weights, moments, average, schedule, generators, position in the data and the meters arrive to the
bit. Rows under way do not travel (their states are three times the size of all the rest): the next job begins
with new puzzles. Cycles and
segments may change from job to job, since no weight depends on their number: fewer at first make a run
cheaper.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.ranks import SINGLE
from sage.hrm_core.tasks.contract import TaskSpec
from sage.hrm_core.training.checkpoints import (
    Checkpoint,
    CheckpointFolder,
    read_checkpoint,
    resolve_checkpoint,
)
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.learner import Learner
from sage.hrm_core.training.shards import read_shards, write_shards

INDEX_NAME = "handover.json"
MAY_CHANGE = ("H_cycles", "L_cycles", "halt_max_segments")


def pack(run: Path, out: Path) -> dict[str, Any]:
    """The last checkpoint of a run, without its rows, into `out`. What it weighs."""
    last = read_checkpoint(resolve_checkpoint(run))
    out.mkdir(parents=True, exist_ok=True)
    index = write_shards(out, "handover", last.shared)
    (out / INDEX_NAME).write_text(json.dumps({"step": last.step, "plain": dict(last.plain), "shared": index}))
    sizes = [entry["bytes"] for entry in index["files"].values()]
    return {"step": last.step, "files": len(sizes), "bytes": sum(sizes), "largest_bytes": max(sizes)}


def unpack(source: Path, run: Path, model: HRM, spec: TaskSpec, config: TrainConfig) -> int:
    """A checkpoint in `run` to resume from, its rows all to be drawn anew. The step it stands at."""
    told = json.loads((source / INDEX_NAME).read_text())
    fresh = Learner(model, spec, config, num_steps=config.num_steps(), ranks=SINGLE)
    here = model.config.to_plain()
    plain = {
        **told["plain"],
        "model": {**told["plain"]["model"], **{name: here[name] for name in MAY_CHANGE}},
    }
    checkpoint = Checkpoint(
        step=told["step"], shared=read_shards(source, told["shared"]), rows=fresh.lane_tensors(), plain=plain
    )
    CheckpointFolder(run / "checkpoints").save(checkpoint, is_best=True)
    return int(told["step"])
