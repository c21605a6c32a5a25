"""A task of one's own, in one file: sort the digits of a row. Trains a small model on it and solves rows
nobody showed it.

    python examples/own_task.py
    python examples/own_task.py --steps 20       a first look

To have it in `sage train` and `sage tasks`, name a TaskKind in the entry points of a package of yours:

    [project.entry-points."sage.tasks"]
    sorting = "my_package.sorting:SORTING"
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.catalogue import TaskKind
from sage.hrm_core.tasks.contract import Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.split import Generated, are_held_out, row_keys, without_ids
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.trainer import Trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class SortingConfig:
    """digits: in a row."""

    digits: int = 8

    def __post_init__(self) -> None:
        if not 2 <= self.digits <= 64:
            raise ValueError(f"digits is {self.digits}: give 2 to 64")


class SortingTask(Generated):
    """Cells are 1..10 for 0..9 (0 is the pad); the label is the sorted row."""

    def __init__(self, config: SortingConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(name="sorting", vocab_size=11, seq_len=self.config.digits)

    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        inputs = rng.integers(1, 11, size=(num, self.config.digits))
        side = are_held_out(row_keys(inputs)) == is_held_out
        return without_ids(inputs[side], np.sort(inputs[side], axis=1))

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        is_sorted: np.ndarray = (np.sort(inputs, axis=1) == answers).all(axis=1)
        return is_sorted

    def baseline(self, inputs: np.ndarray) -> Baseline:
        return Baseline(name="leave the row as it is", answers=np.array(inputs, np.int32))


SORTING = TaskKind(name="sorting", about="sort a row of digits", config=SortingConfig, build=SortingTask)


class Settings(BaseModel):
    """What may be given on the command line; pydantic names what is wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    digits: int = Field(8, ge=2, le=64)
    steps: int = Field(300, ge=1)
    batch_size: int = Field(64, ge=1)
    seed: int = Field(0, ge=0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, field in Settings.model_fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=field.default)
    settings = Settings(**vars(parser.parse_args()))

    task = SortingTask(SortingConfig(digits=settings.digits))
    front = TokenFront(vocab_size=task.spec.vocab_size, seq_len=task.spec.seq_len, positions="learned")
    model = HRM(ModelConfig.preset("tiny", front=front))
    optimizer = OptimizerConfig(kind="muon", lr=1e-2, warmup_steps=min(20, settings.steps), min_lr_ratio=0.05)
    training = TrainConfig(
        steps=settings.steps,
        batch_size=settings.batch_size,
        seed=settings.seed,
        cross_entropy="softmax",
        clip_norm=1.0,
        ema_decay=0.98,
        optimizer=optimizer,
        eval_examples=500,
        eval_segments=(1, 8),
    )
    result = Trainer(model, task, training).train()
    assert result.report is not None

    rows = task.held_out(3)
    solved = Solver(model.eval(), task).solve(rows.inputs, halt="verifier")
    for row, answer, is_right in zip(rows.inputs, solved.answers, solved.is_verified):
        print(
            f"{' '.join(str(cell - 1) for cell in row)}  ->  {' '.join(str(cell - 1) for cell in answer)} "
            f" right: {is_right}"
        )
    depth, baseline = result.report.depths[-1], result.report.best_baseline
    told = {
        "settings": settings.model_dump(),
        "task": asdict(task.config),
        "steps": result.step,
        "cpu_secs": result.cpu_secs,
    }
    print(json.dumps({**told, "exact": depth.exact, "baseline": {baseline.name: baseline.exact}}))


if __name__ == "__main__":
    main()
