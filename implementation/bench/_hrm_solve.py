"""One trained model, a full solve: the reference's loop (16 segments for every row) against ours (halting, refilling).

Invariant: both run the same weights on the same puzzles, held out in training; exact answers are counted by the task's rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _hrm_mixer import PlainMixer
from _hrm_rounds import Timing, take_turns

from sage.app.state_dir import default_state_dir
from sage.app.training.building import build_model, build_task
from sage.app.training.recipe import find_recipe
from sage.hrm_core.hrm import HRM
from sage.hrm_core.solving.published import TaskCard, load_published, save_published, shipped_folders
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.training.trainer import Trainer

RECIPE = "sudoku4"
NUM_SEGMENTS = 16
BATCH_SIZE = 64
REFERENCE, OURS, OURS_FIXED = "reference, 16 segments", "ours, halting", "ours, 16 segments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """exact: a share for each way.  mean_segments: of ours with halting.  file_bytes: of the model's weights."""

    model: str
    num_puzzles: int
    exact: dict[str, float]
    mean_segments: float
    file_bytes: int
    timings: dict[str, Timing]

    def describe(self) -> dict[str, Any]:
        ways = {
            name: timing.describe()
            | {"exact": self.exact[name], "solves_a_cpu_second": self.num_puzzles / timing.describe()["cpu_ms"] * 1e3}
            for name, timing in self.timings.items()
        }
        return {
            "model": self.model,
            "num_puzzles": self.num_puzzles,
            "mean_segments": self.mean_segments,
            "file_bytes": self.file_bytes,
            "ways": ways,
        }


@torch.inference_mode()
def time_solves(folder: Path, num_puzzles: int, num_rounds: int) -> Solved:
    """folder: of the trained model."""
    published = load_published(folder)
    model, task = published.model, published.task
    assert isinstance(model, HRM)
    assert task is not None
    inputs = task.held_out(num_puzzles).inputs  # (N, L)
    plain, solver, cells = PlainMixer(model), Solver(model, None), torch.from_numpy(inputs)
    answers: dict[str, np.ndarray] = {}
    segments: dict[str, float] = {}

    def reference() -> None:
        parts = [plain.solve(part, NUM_SEGMENTS) for part in cells.split(BATCH_SIZE)]
        answers[REFERENCE] = torch.cat(parts).numpy()

    def ours(name: str, halt: str) -> None:
        found = solver.solve(inputs, halt=halt, max_segments=NUM_SEGMENTS, batch_size=BATCH_SIZE)
        answers[name], segments[name] = found.answers, float(found.num_segments_spent.mean())

    contenders = {
        REFERENCE: reference,
        OURS: lambda: ours(OURS, "q"),
        OURS_FIXED: lambda: ours(OURS_FIXED, "never"),
    }
    timings = take_turns(contenders, num_rounds=num_rounds)
    return Solved(
        model=f"{RECIPE}, {sum(each.numel() for each in model.parameters()):,} parameters",
        num_puzzles=len(inputs),
        exact={name: float(task.verify(inputs, answers[name]).mean()) for name in contenders},
        mean_segments=segments[OURS],
        file_bytes=sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        timings=timings,
    )


def trained_folder() -> Path:
    """The shipped model where there is one, else one trained here once (under a minute) and kept in the state directory."""
    shipped = shipped_folders().get(RECIPE)
    if shipped is not None:
        return shipped
    folder = default_state_dir() / "bench" / RECIPE
    if not (folder / "model.safetensors").is_file():
        recipe = find_recipe(RECIPE, None)
        task = build_task(recipe)
        model = build_model(recipe, task.spec)
        result = Trainer(model, task, recipe.train).train()
        part = recipe.tasks[0]
        trained = {"steps": result.step, "cpu_secs": result.cpu_secs}
        save_published(folder, model.eval(), TaskCard(task=part.name, options=part.options, trained=trained))
    return folder
