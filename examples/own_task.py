"""A task of your own in one file: sort the digits of a row. Trains a small model, then solves held-out rows.

    python examples/own_task.py
    python examples/own_task.py --steps 20       a quick look

To use the task with `sage train` and `sage tasks`, name its TaskKind in the entry points of your package:

    [project.entry-points."sage.tasks"]
    sorting = "my_package.sorting:SORTING"
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass

import numpy as np
from stopping import Stopped, run_example

from sage import HRM, InputError, ModelConfig, TrainConfig, Trainer
from sage.hrm_core import Solver, TokenFront
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.tasks.catalogue import TaskKind
from sage.hrm_core.tasks.contract import Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.split import Generated, are_held_out, row_keys, without_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class SortingConfig:
    """digits: how many a row has."""

    digits: int = 4

    def __post_init__(self) -> None:
        if not 2 <= self.digits <= 64:
            raise InputError(f"digits is {self.digits}: give 2 to 64")


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
        return Baseline(name="the unsorted row", answers=np.array(inputs, np.int32))


SORTING = TaskKind(name="sorting", about="sort a row of digits", config=SortingConfig, build=SortingTask)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("--digits", 4), ("--steps", 400), ("--batch-size", 64), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    options = parser.parse_args()

    task = SortingTask(SortingConfig(digits=options.digits))
    front = TokenFront(vocab_size=task.spec.vocab_size, seq_len=task.spec.seq_len, positions="learned")
    model = HRM(ModelConfig.preset("small", front=front, halt_max_segments=2))
    optimizer = OptimizerConfig(kind="muon", lr=1e-2, warmup_steps=min(50, options.steps), min_lr_ratio=0.05)
    training = TrainConfig(
        steps=options.steps,
        batch_size=options.batch_size,
        seed=options.seed,
        cross_entropy="softmax",
        clip_norm=1.0,
        ema_decay=0.98,
        optimizer=optimizer,
        eval_examples=500,
        eval_segments=(1, 2),
    )
    result = Trainer(model, task, training).train()
    if result.report is None:
        raise Stopped(f"stopped after step {result.step}; nothing was evaluated")

    rows = task.held_out(3)
    solved = Solver(model.eval(), task).solve(rows.inputs, halt="verifier")
    for row, answer, is_right in zip(rows.inputs, solved.answers, solved.is_verified):
        print(
            f"{' '.join(str(cell - 1) for cell in row)}  ->  {' '.join(str(cell - 1) for cell in answer)} "
            f" {'correct' if is_right else 'wrong'}"
        )
    depth, baseline = result.report.depths[-1], result.report.best_baseline
    print(
        f"{depth.exact:.1%} of 500 held-out rows are sorted exactly (baseline, {baseline.name}:"
        f" {baseline.exact:.1%}) after {result.step} steps, {result.cpu_secs:.0f} CPU seconds"
    )
    summary = {
        "task": asdict(task.config),
        "steps": result.step,
        "cpu_secs": result.cpu_secs,
        "exact": depth.exact,
        "baseline": {baseline.name: baseline.exact},
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    run_example(main)
