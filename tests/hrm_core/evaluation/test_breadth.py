"""Several starts without a verifier: the rules judge the answer and do not pick it."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.evaluation.breadth import breadth
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.contract import Task
from sage.hrm_core.training.mirror_task import MirrorTask


class Lenient(MirrorTask):
    """Takes any answer that starts with symbol 0."""

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return np.asarray(answers[:, 0] == 0)


def _model(task: Task) -> HRM:
    front = TokenFront(vocab_size=task.spec.vocab_size, seq_len=task.spec.seq_len, positions="learned")
    config = ModelConfig.preset("tiny", front=front, hidden_size=16, mlp_multiple=16)
    return HRM(config, generator=torch.Generator().manual_seed(0))


def test_the_score_is_that_of_the_picked_answers() -> None:
    task = Lenient()
    model = _model(task)
    found = breadth(model, task, num=40, starts=4, segments=3)
    examples = task.held_out(40)
    picked = Solver(model).solve(
        examples.inputs, halt="never", max_segments=3, tries=4, variation="start", pick="residual"
    )
    assert found.valid == task.verify(examples.inputs, picked.answers).mean()
    assert found.exact == (picked.answers == examples.labels).all(1).mean()
    assert found.low <= found.valid <= found.high
    assert (found.num, found.starts, found.segments, found.pick) == (40, 4, 3, "residual")


def test_one_start_is_the_plain_pass() -> None:
    task = Lenient()
    found = breadth(_model(task), task, num=40, starts=1, segments=3, pick="q")
    assert found.valid == found.plain


def test_one_seed_gives_one_score() -> None:
    task = Lenient()
    one, other = (breadth(_model(task), task, num=12, starts=3, segments=2, seed=4) for _ in range(2))
    assert dataclasses.replace(one, cpu_secs=0.0) == dataclasses.replace(other, cpu_secs=0.0)
