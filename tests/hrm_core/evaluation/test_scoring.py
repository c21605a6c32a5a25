"""Answers are scored by labels and rules, those of models and of baselines alike."""

from __future__ import annotations

import numpy as np
import pytest

from sage.hrm_core.evaluation.scoring import baselines, calibrate, mark, q_accuracy, sensitivity
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


def test_an_answer_with_one_wrong_cell_is_not_exact(task: MirrorTask) -> None:
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


def test_a_constant_answer_has_zero_sensitivity(task: MirrorTask) -> None:
    rows = task.held_out(50)
    assert sensitivity(rows, np.zeros_like(rows.labels)) == 0


def test_trivial_answers_are_scored_as_baselines(task: MirrorTask) -> None:
    rows = task.held_out(200)
    scores = {each.name: each for each in baselines(task, rows, task.sample(200, np.random.default_rng(1)))}
    assert scores["copy the input"].exact < 0.1
    assert scores["copy the input"].unknown_cell == 0
    assert 0.2 < scores["commonest label"].cell < 0.4


def test_calibration_error_of_a_calibrated_and_of_an_overconfident_head() -> None:
    is_exact = np.arange(1000) % 10 < 7
    assert calibrate(np.full(1000, 0.7), is_exact).ece == pytest.approx(0, abs=1e-9)
    assert calibrate(np.full(10, np.nan), np.zeros(10, dtype=bool)).ece == 0.0  # diverged, and never right
    sure = calibrate(np.ones(1000), is_exact)
    assert sure.ece == pytest.approx(0.3)
    assert sure.bins[0].num == 1000


def test_published_figures_count_only_puzzles_with_labels(task: MirrorTask) -> None:
    """HRM, models/losses.py: three rows count; exact are rows 0 and 1; q_halt >= 0 agrees in rows 0 and 2."""
    rows = task.held_out(4)
    labels, answers = rows.labels.copy(), rows.labels.copy()
    labels[3] = IGNORED
    answers[2, 0] = (answers[2, 0] + 1) % 4
    marks = mark(task, Examples(inputs=rows.inputs, labels=labels, puzzle_ids=rows.puzzle_ids), answers)
    assert marks.exact == pytest.approx(2 / 3)
    assert q_accuracy(np.array([0.0, -1.0, -2.0, -3.0]), marks) == pytest.approx(2 / 3)
