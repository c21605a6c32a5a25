"""Tries with a verifier: solved, or no answer."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.evaluation.searching import search
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.tasks.contract import Task
from sage.hrm_core.tasks.sudoku.task import SudokuConfig, SudokuTask
from sage.hrm_core.training.mirror_task import MirrorTask


class Lenient(MirrorTask):
    """Takes any answer."""

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return np.ones(len(inputs), bool)


def _model(task: Task) -> HRM:
    front = TokenFront(vocab_size=task.spec.vocab_size, seq_len=task.spec.seq_len, positions="learned")
    config = ModelConfig.preset("tiny", front=front, hidden_size=16, mlp_multiple=16)
    return HRM(config, generator=torch.Generator().manual_seed(0))


def test_an_answer_that_is_valid_at_once_takes_one_segment() -> None:
    task = Lenient()
    found = search(_model(task), task, num=12, tries=3, max_segments=4, batch_size=12)
    assert (found.num, found.solved, found.first_try, found.mean_segments) == (12, 1.0, 1.0, 1.0)
    assert found.low < 1.0 <= found.high


def test_a_puzzle_without_a_valid_answer_takes_every_try_and_abstains() -> None:
    task = MirrorTask()
    found = search(_model(task), task, num=12, tries=3, max_segments=4)
    assert found.solved <= 0.25
    assert found.mean_segments >= 0.75 * 3 * 4


def test_one_seed_gives_one_score() -> None:
    task = MirrorTask()
    model = _model(task)
    one, other = (search(model, task, num=12, tries=2, max_segments=2) for _ in range(2))
    assert dataclasses.replace(one, cpu_secs=0.0) == dataclasses.replace(other, cpu_secs=0.0)


def test_a_search_follows_the_tries() -> None:
    task = SudokuTask(SudokuConfig(size=4))
    model = _model(task)
    plain, searched = (search(model, task, num=6, tries=2, max_segments=1, calls=calls) for calls in (0, 400))
    assert (plain.calls, plain.by_search, plain.mean_calls) == (0, 0.0, 0.0)
    assert searched.solved > plain.solved
    assert searched.by_search > 0
    assert 1 < searched.mean_calls <= 400
