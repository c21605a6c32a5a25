"""Test-time training: a model is trained on the demonstrations of one ARC puzzle, then answers its tests.

A run trains, answers every test in many forms, and counts equal answers. The two attempts are those of two
runs: one trained on the demonstrations turned and mirrored, one on them as they are.

Invariant: the outputs of tests are never read; equal seeds give equal runs on one machine.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from sage.hrm_core.config.fronts import TokenFront
from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.config.presets import preset_settings
from sage.hrm_core.evaluation.evaluate import run_segments
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.optim.ranks import SINGLE
from sage.hrm_core.tasks.arc.grid import COLOUR, NUM_COLOURS, board
from sage.hrm_core.tasks.arc.source import ArcPuzzle
from sage.hrm_core.tasks.arc.voting import NUM_ATTEMPTS, Vote, best_attempts
from sage.hrm_core.tasks.contract import IGNORED, Examples
from sage.hrm_core.test_time.puzzle_task import PuzzleTask
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.learner import Learner
from sage.hrm_core.training.stream import RowStream

_OPTIMIZER = OptimizerConfig(kind="muon", lr=1e-2, weight_decay=0.1, warmup_steps=20, min_lr_ratio=0.05)
#: Steps at the end of a run over which training rows are counted.
NUM_LAST = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class TestTimeConfig:
    """steps, batch_size: of a run.  cpu_secs: of training in a run at most, None: no limit.
    num_forms: forms in which each test is answered.  num_segments: of an answer.
    model: changes of the preset `small` with mixer `grid`; not used where a run starts from a model.
    """

    __test__ = False  # not a test class

    steps: int = 400
    batch_size: int = 16
    cpu_secs: float | None = None
    num_forms: int = 16
    num_segments: int = 8
    seed: int = 0
    optimizer: OptimizerConfig = _OPTIMIZER
    model: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestTimeRun:
    """grids: (puzzle, test) -> answers, the one with most votes first.  steps: done.  cpu_secs: of this
    process, training and answering.
    exact: share of exact answers among training rows of the last NUM_LAST steps; nan where none finished.
    """

    __test__ = False

    turns: bool
    grids: Mapping[tuple[str, int], Sequence[np.ndarray]]
    exact: float
    steps: int
    cpu_secs: float


def two_runs(puzzle: ArcPuzzle, config: TestTimeConfig, start: HRM | None = None) -> tuple[TestTimeRun, ...]:
    """A run on the demonstrations turned and mirrored, and one on them as they are."""
    return tuple(run_once(puzzle, config, turns=turns, start=start) for turns in (True, False))


def attempts_of(runs: Sequence[TestTimeRun]) -> dict[tuple[str, int], list[np.ndarray]]:
    """(puzzle, test) -> two different grids at most: the first of each run in turn, then the second of each,
    runs with the higher `exact` first.
    """
    ordered = sorted(runs, key=lambda run: -run.exact if math.isfinite(run.exact) else 1.0)
    found: dict[tuple[str, int], list[np.ndarray]] = {}
    for test in {test for run in ordered for test in run.grids}:
        grids: list[np.ndarray] = []
        for rank in range(NUM_ATTEMPTS):
            for run in ordered:
                grids += [
                    grid
                    for grid in list(run.grids.get(test, ()))[rank : rank + 1]
                    if not any(np.array_equal(grid, each) for each in grids)
                ]
        found[test] = grids[:NUM_ATTEMPTS]
    return found


def run_once(
    puzzle: ArcPuzzle, config: TestTimeConfig, *, turns: bool, start: HRM | None = None
) -> TestTimeRun:
    """start: a model whose weights fit a board of any side (`ModelConfig.fits_any_side`), such as one trained
    on `arc_generated`; it is not changed. None: fresh weights.
    """
    began = time.process_time()
    task = PuzzleTask(puzzle, turns=turns)
    model = _new_model(task.side, config) if start is None else _started(start, task.side)
    exact, steps = _train(model, task, config)
    grids = best_attempts(_votes(model, task, config))
    return TestTimeRun(
        turns=turns, grids=grids, exact=exact, steps=steps, cpu_secs=time.process_time() - began
    )


def _new_model(side: int, config: TestTimeConfig) -> HRM:
    front = TokenFront(vocab_size=COLOUR + NUM_COLOURS, seq_len=side**2, positions="none")
    settings = {**preset_settings("small", front), "mixer": "grid", "q_source": "mean", **config.model}
    model = HRM(ModelConfig(**settings), generator=torch.Generator().manual_seed(config.seed))
    return model


def _started(start: HRM, side: int) -> HRM:
    """A copy for the side; the embedding of puzzle 0, which the run trains, starts at the mean row."""
    model = start.at_side(side)
    if isinstance(model.config.front, TokenFront) and model.config.front.num_puzzle_ids:
        table = model.inner.puzzle_emb
        table.weights[0] = table.weights.mean(0)
    return model


def _train(model: HRM, task: PuzzleTask, config: TestTimeConfig) -> tuple[float, int]:
    """`exact` and `steps` of the run. The model ends with averaged weights."""
    train = TrainConfig(
        steps=config.steps,
        batch_size=config.batch_size,
        seed=config.seed,
        cross_entropy="softmax",
        q_weight=0.05,
        clip_norm=1.0,
        ema_decay=0.98,
        optimizer=config.optimizer,
    )
    learner = Learner(model, task.spec, train, num_steps=config.steps, ranks=SINGLE)
    last: deque[tuple[float, int]] = deque(maxlen=NUM_LAST)
    began = time.process_time()
    with RowStream(task, block_size=config.batch_size, seed=config.seed) as stream:
        for step in range(1, config.steps + 1):
            facts = learner.step(step, stream)
            if facts.num_finished:
                last.append((facts.figures["exact_accuracy"], facts.num_finished))
            if config.cpu_secs is not None and time.process_time() - began > config.cpu_secs:
                break
    assert learner.ema is not None
    learner.ema.copy_to_weights()
    num = sum(each for _, each in last)
    return (sum(share * each for share, each in last) / num if num else math.nan), step


def _votes(model: HRM, task: PuzzleTask, config: TestTimeConfig) -> list[Vote]:
    """One for each test in each form; none where a cell of the grid is answered by no colour."""
    forms = task.augmentations(config.num_forms, np.random.default_rng(config.seed))
    tests = [(test, form) for test in range(len(task.puzzle.tests)) for form in forms]
    grids = [form.applied(task.puzzle.tests[test].input) for test, form in tests]
    inputs = np.array([board(grid, side=task.side) for grid in grids], np.int32)
    examples = Examples(
        inputs=inputs, labels=np.full_like(inputs, IGNORED), puzzle_ids=np.zeros(len(inputs), np.int32)
    )
    trace = run_segments(model, examples, config.num_segments, is_last_only=True)
    votes = []
    for (test, form), grid, cells, q in zip(tests, grids, trace.answers[-1], trace.q_halt[-1]):
        rows, cols = grid.shape
        answer = cells.reshape(task.side, task.side)[:rows, :cols] - COLOUR
        if answer.min() >= 0:
            name = task.puzzle.name
            votes.append(Vote(puzzle=name, test=test, augmentation=form, cells=board(answer), q=float(q)))
    return votes
