"""Runs of `sage train`: found in their folders, or made there.

Invariant: a run is read from its own files (run.json, metrics.jsonl, model/task.json); nothing is measured
twice.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NUM_CURVE_POINTS = 24


@dataclass(frozen=True)
class CurvePoint:
    """Means over the steps since the last point. exact: of rows that finished (8 segments at most), None
    where none did.
    """

    step: int
    cpu_secs: float
    lm_loss: float
    exact: float | None


@dataclass(frozen=True)
class Run:
    """exact, valid: by number of segments, on held-out puzzles, one pass without a verifier.  spread: 95% at
    the last.
    """

    recipe: str
    seed: int
    model: Path
    num_parameters: int
    steps: int
    cpu_secs: float
    num_held_out: int
    exact: dict[int, float]
    valid: dict[int, float]
    spread: tuple[float, float]
    baseline: float
    curve: list[CurvePoint]


def run_folder(root: Path, recipe: str, seed: int) -> Path:
    return root / f"{recipe}-{seed}"


def train_once(folder: Path, recipe: str, seed: int, extra: tuple[str, ...] = ()) -> None:
    """`sage train RECIPE --seed SEED` in a process of one thread; an interrupted run goes on."""
    command = [
        str(Path(sys.executable).with_name("sage")),
        "train",
        recipe,
        "--seed",
        str(seed),
        "--device",
        "cpu",
    ]
    command += ["--out", str(folder), "--quiet", *extra]
    if (folder / "checkpoints" / "last").is_file():
        command.append("--resume")
    one_thread = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **one_thread})


def has_ended(folder: Path) -> bool:
    return (folder / "model" / "task.json").is_file()


def read_run(folder: Path, recipe: str, seed: int) -> Run:
    from sage.hrm_core.solving.published import load_published, num_parameters

    card = json.loads((folder / "model" / "task.json").read_text())
    trained, evaluation = card["trained"], card["trained"]["eval"]
    depths = evaluation["depths"]
    return Run(
        recipe=recipe,
        seed=seed,
        model=folder / "model",
        num_parameters=num_parameters(load_published(folder / "model").model) or 0,
        steps=trained["steps"],
        cpu_secs=trained["train_cpu_seconds"],
        num_held_out=evaluation["num"],
        exact={each["segments"]: each["exact"] for each in depths},
        valid={each["segments"]: each["valid"] for each in depths},
        spread=(depths[-1]["low"], depths[-1]["high"]),
        baseline=max(each["valid"] for each in evaluation["baselines"]),
        curve=read_curve(folder / "metrics.jsonl"),
    )


def read_curve(path: Path) -> list[CurvePoint]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    steps = [row for row in rows if "train/lm_loss" in row]
    size = max(1, -(-len(steps) // NUM_CURVE_POINTS))
    return [_point(steps[start : start + size]) for start in range(0, len(steps), size)]


def _point(rows: list[dict[str, Any]]) -> CurvePoint:
    finished = [(row["train/exact_accuracy"], row["train/count"]) for row in rows if row["train/count"]]
    num = sum(count for _, count in finished)
    losses = [row["train/lm_loss"] for row in rows if row["train/lm_loss"] is not None]
    return CurvePoint(
        step=rows[-1]["step"],
        cpu_secs=round(rows[-1]["train_cpu_seconds"], 1),
        lm_loss=round(sum(losses) / max(1, len(losses)), 5),
        exact=round(sum(share * count for share, count in finished) / num, 4) if num else None,
    )
