"""One trained model, a full solve: the reference's loop (16 segments for every row) against ours (halting,
refilling).

Ours halts by the rules of the puzzle, or by the Q head, which errs at times and so loses some.

Invariant: both run the same weights on the same puzzles, held out in training; exact answers are counted by
the task's rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _hrm_mixer import PlainMixer
from _hrm_rounds import Timing, take_turns

from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.published import load_published
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.solving.task_card import shipped_folders

NUM_SEGMENTS = 16
BATCH_SIZE = 64
REFERENCE, OURS, OURS_BY_Q = (
    "reference, 16 segments",
    "ours, halting by the rules",
    "ours, halting by the Q head",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """model: a shipped name.  exact, mean_segments: for each way.  file_bytes: of the model's weights."""

    model: str
    num_parameters: int
    num_puzzles: int
    exact: dict[str, float]
    mean_segments: dict[str, float]
    file_bytes: int
    timings: dict[str, Timing]

    def describe(self) -> dict[str, Any]:
        ways = {
            name: timing.describe()
            | {"exact": self.exact[name], "mean_segments": self.mean_segments[name]}
            | {"solves_a_cpu_second": self.num_puzzles / timing.describe()["cpu_ms"] * 1e3}
            for name, timing in self.timings.items()
        }
        return {
            "model": self.model,
            "num_parameters": self.num_parameters,
            "num_puzzles": self.num_puzzles,
            "file_bytes": self.file_bytes,
            "ways": ways,
        }


@torch.inference_mode()
def time_solves(name: str, num_puzzles: int, num_rounds: int, *, num_warm: int = 1) -> Solved:
    """name: of a shipped model."""
    folder = shipped_folders()[name]
    published = load_published(folder)
    model, task = published.model, published.task
    assert isinstance(model, HRM)
    assert task is not None
    inputs = task.held_out(num_puzzles).inputs  # (N, L)
    plain, solver, cells = PlainMixer(model), Solver(model, task), torch.from_numpy(inputs)
    answers: dict[str, np.ndarray] = {}
    segments: dict[str, float] = {REFERENCE: float(NUM_SEGMENTS)}

    def reference() -> None:
        parts = [plain.solve(part, NUM_SEGMENTS) for part in cells.split(BATCH_SIZE)]
        answers[REFERENCE] = torch.cat(parts).numpy()

    def ours(name: str, halt: str) -> None:
        found = solver.solve(inputs, halt=halt, max_segments=NUM_SEGMENTS, batch_size=BATCH_SIZE)
        answers[name], segments[name] = found.answers, float(found.num_segments_spent.mean())

    contenders = {
        REFERENCE: reference,
        OURS: lambda: ours(OURS, "verifier"),
        OURS_BY_Q: lambda: ours(OURS_BY_Q, "q"),
    }
    timings = take_turns(contenders, num_rounds=num_rounds, num_warm=num_warm)
    return Solved(
        model=name,
        num_parameters=sum(each.numel() for each in model.parameters()),
        num_puzzles=len(inputs),
        exact={way: float(task.verify(inputs, answers[way]).mean()) for way in contenders},
        mean_segments=segments,
        file_bytes=sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        timings=timings,
    )
