"""Answers are judged alike, whoever gave them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sage.hrm_core.evaluation.report import spread, wilson_interval
from sage.hrm_core.evaluation.scoring import baselines, calibrate, mark, sensitivity
from sage.hrm_core.tasks.contract import IGNORED, Examples
from sage.hrm_core.training.mirror_task import MirrorTask


@pytest.fixture
def task() -> MirrorTask:
    return MirrorTask()


def test_the_labels_themselves_are_perfect(task: MirrorTask) -> None:
    rows = task.held_out(50)
    marks = mark(task, rows, rows.labels)
    assert (marks.exact, marks.valid, marks.cell, marks.unknown_cell) == (1, 1, 1, 1)
    assert sensitivity(rows, rows.labels) == 1.0


def test_one_wrong_cell_is_no_exact_answer(task: MirrorTask) -> None:
    rows = task.held_out(4)
    answers = rows.labels.copy()
    answers[1, 2] = (answers[1, 2] + 1) % 4
    marks = mark(task, rows, answers)
    assert marks.is_exact.tolist() == [True, False, True, True]
    assert marks.is_valid.tolist() == [True, False, True, True]
    assert marks.cell == pytest.approx(23 / 24)


def test_cells_without_a_label_are_not_scored(task: MirrorTask) -> None:
    rows = task.held_out(3)
    labels = rows.labels.copy()
    labels[:, 0] = IGNORED
    answers = rows.labels.copy()
    answers[:, 0] = 9
    assert (
        mark(task, Examples(inputs=rows.inputs, labels=labels, puzzle_ids=rows.puzzle_ids), answers).exact
        == 1
    )


def test_a_constant_function_is_found_out(task: MirrorTask) -> None:
    rows = task.held_out(50)
    assert sensitivity(rows, np.zeros_like(rows.labels)) == 0


def test_trivial_answers_are_scored_beside(task: MirrorTask) -> None:
    rows = task.held_out(200)
    scores = {each.name: each for each in baselines(task, rows, task.sample(200, np.random.default_rng(1)))}
    assert scores["copy the input"].exact < 0.1
    assert scores["copy the input"].unknown_cell == 0
    assert 0.2 < scores["commonest label"].cell < 0.4


def test_a_head_that_knows_is_calibrated_and_one_that_is_always_sure_is_not() -> None:
    is_exact = np.arange(1000) % 10 < 7
    assert calibrate(np.full(1000, 0.7), is_exact).ece == pytest.approx(0, abs=1e-9)
    sure = calibrate(np.ones(1000), is_exact)
    assert sure.ece == pytest.approx(0.3)
    assert sure.bins[0].num == 1000


def test_intervals_and_spreads() -> None:
    low, high = wilson_interval(1.0, 1000)
    assert low == pytest.approx(0.9962, abs=1e-4)
    assert high == 1.0
    assert math.isnan(wilson_interval(0.0, 0)[0])
    over = spread([0.4, 0.6])
    assert (over.mean, over.low, over.high) == (0.5, 0.4, 0.6)
    assert math.isnan(spread([0.4]).std)
