"""ARC scored by votes: on a task, and on a built folder with an identifier for each form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.datasets.build_arc import build_arc
from sage.hrm_core.datasets.folder_task import FolderConfig, FolderTask
from sage.hrm_core.evaluation.arc import ballot_of, vote_arc
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.tasks.arc.baselines import FAMILIES
from sage.hrm_core.tasks.arc.grid import Augmentation, grid_of
from sage.hrm_core.tasks.arc.task import ArcConfig, ArcTask
from sage.hrm_core.tasks.arc.voting import load_submission, score, write_submission
from sage.hrm_core.tasks.patterns import PatternsConfig, PatternsTask
from sage.hrm_core.training.mirror_task import MirrorTask


@pytest.fixture(scope="module")
def mirrors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """training/ and evaluation/ of two puzzles each: the rule is to mirror the grid."""
    folder, rng = tmp_path_factory.mktemp("arc"), np.random.default_rng(3)
    for side in ("training", "evaluation"):
        (folder / side).mkdir()
        for number in range(2):
            grids = [rng.integers(0, 6, size=(3, 4)) for _ in range(4)]
            rows = [{"input": grid.tolist(), "output": grid[:, ::-1].tolist()} for grid in grids]
            (folder / side / f"{side}{number}.json").write_text(
                json.dumps({"train": rows[:2], "test": rows[2:]})
            )
    return folder


@pytest.fixture(scope="module")
def task(mirrors: Path) -> ArcTask:
    return ArcTask(ArcConfig(train=str(mirrors), evaluate=str(mirrors), num_aug=3))


def _model(num_ids: int) -> HRM:
    front = TokenFront(
        vocab_size=12,
        seq_len=900,
        num_puzzle_ids=num_ids,
        puzzle_emb_ndim=16,
        puzzle_tokens=1,
        positions="rope",
    )
    changes = {"mixer": "attention", "hidden_size": 16, "num_heads": 1, "mlp_multiple": 16}
    return HRM(ModelConfig.preset("tiny", front=front, **changes), generator=torch.Generator().manual_seed(0))


def test_a_ballot_has_every_test_in_each_form(task: ArcTask) -> None:
    ballot = ballot_of(task, 3)
    assert len(ballot.examples) == len(ballot.forms) == 2 * 2 * 3
    for cells, (name, test, form) in zip(ballot.examples.inputs, ballot.forms):
        pair = next(puzzle for puzzle in task.evaluation if puzzle.name == name).tests[test]
        np.testing.assert_array_equal(form.undone(grid_of(cells)), pair.input)


def test_a_built_folder_votes_over_its_own_forms(mirrors: Path, tmp_path: Path) -> None:
    build_arc(str(mirrors), out=tmp_path / "built", num_aug=2)
    ballot = ballot_of(FolderTask(FolderConfig(path=str(tmp_path / "built"))), 3)
    assert {name for name, _, _ in ballot.forms} == {"evaluation0", "evaluation1"}
    assert len(ballot.examples) == 2 * 2 * 3
    plain = {
        (name, test): cells
        for cells, (name, test, form) in zip(ballot.examples.inputs, ballot.forms)
        if form == Augmentation()
    }
    for cells, (name, test, form) in zip(ballot.examples.inputs, ballot.forms):
        np.testing.assert_array_equal(form.undone(grid_of(cells)), grid_of(plain[name, test]))
    perfect = {
        (puzzle.name, at): [pair.output] for puzzle in ballot.puzzles for at, pair in enumerate(puzzle.tests)
    }
    assert score(perfect, ballot.puzzles) == 1.0


def test_an_untrained_model_scores_zero_and_its_submission_loads(task: ArcTask, tmp_path: Path) -> None:
    found = vote_arc(_model(task.spec.num_puzzle_ids), task, num_forms=2, num_segments=1)
    assert (found.num_puzzles, found.num_answers) == (2, 8)
    assert found.two_attempts == found.one_attempt == found.unvoted == found.copied == 0.0
    assert set(found.baselines) == {*FAMILIES, "together"}
    assert found.baselines["identity"] == 0.0
    write_submission(tmp_path / "submission.json", found.attempts, found.puzzles)
    assert set(load_submission(tmp_path / "submission.json")) == {
        (f"evaluation{n}", test) for n in range(2) for test in range(2)
    }


def test_more_forms_than_were_trained_are_refused(task: ArcTask) -> None:
    with pytest.raises(ValueError, match="5 forms: the model was trained on 4 of each puzzle"):
        ballot_of(task, 5)
    with pytest.raises(ValueError, match="0 forms"):
        ballot_of(task, 0)


@pytest.mark.parametrize("other", [MirrorTask(), PatternsTask(PatternsConfig())])
def test_a_task_without_forms_is_refused(other: MirrorTask | PatternsTask) -> None:
    with pytest.raises(ValueError, match="has no forms to vote over"):
        ballot_of(other, 2)


@pytest.mark.parametrize("names", ["hrm", "trm"])
def test_both_builders_names_of_forms_are_read(names: str, mirrors: Path, tmp_path: Path) -> None:
    build_arc(str(mirrors), out=tmp_path / "built", num_aug=2, names=names)
    identifiers = json.loads((tmp_path / "built" / "identifiers.json").read_text())
    assert sum(("|||" in name) == (names == "trm") for name in identifiers if name != "evaluation0") > 4
    ballot = ballot_of(FolderTask(FolderConfig(path=str(tmp_path / "built"))), 3)
    assert [puzzle.name for puzzle in ballot.puzzles] == ["evaluation0", "evaluation1"]
    for cells, (name, test, form) in zip(ballot.examples.inputs, ballot.forms):
        pair = next(puzzle for puzzle in ballot.puzzles if puzzle.name == name).tests[test]
        np.testing.assert_array_equal(form.undone(grid_of(cells)), pair.input)
