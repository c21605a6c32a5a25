"""ARC sources: a folder for each side, Kaggle's pairs of files, and files that are refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sage.errors import DataError, InputError
from sage.hrm_core.datasets.build_arc import build_arc
from sage.hrm_core.tasks.arc.source import load_arc, to_json
from sage.hrm_core.tasks.arc.task import ArcConfig, ArcTask
from sage.hrm_core.tasks.arc.voting import load_submission

PAIR = {"input": [[1, 2]], "output": [[2, 1]]}


def _kaggle(folder: Path, side: str, *, outputs: int = 1) -> None:
    challenges = {"one": {"train": [PAIR], "test": [{"input": [[3]]}]}}
    (folder / f"arc-agi_{side}_challenges.json").write_text(json.dumps(challenges), encoding="utf-8-sig")
    (folder / f"arc-agi_{side}_solutions.json").write_text(json.dumps({"one": [[[4]]] * outputs}))


def test_kaggles_pairs_of_files_are_read_with_their_outputs(tmp_path: Path) -> None:
    for side in ("training", "evaluation"):
        _kaggle(tmp_path, side)
    (puzzle,) = load_arc(str(tmp_path), "evaluation")
    assert puzzle.name == "one"
    np.testing.assert_array_equal(puzzle.tests[0].output, [[4]])
    assert to_json(puzzle) == {"train": [PAIR], "test": [{"input": [[3]], "output": [[4]]}]}


def test_kaggles_form_without_solutions_or_with_too_many_is_one_line(tmp_path: Path) -> None:
    _kaggle(tmp_path, "training", outputs=2)
    with pytest.raises(DataError, match="one: not one output for each of 1 tests"):
        load_arc(str(tmp_path), "training")
    (tmp_path / "arc-agi_training_solutions.json").unlink()
    with pytest.raises(DataError, match="add it, it has the outputs of the tests"):
        load_arc(str(tmp_path), "training")
    with pytest.raises(DataError, match=r"0 files named \*evaluation_challenges"):
        load_arc(str(tmp_path), "evaluation")


def test_a_test_without_an_output_is_named(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    puzzle = {"train": [PAIR], "test": [PAIR, {"input": [[3]]}]}
    (tmp_path / "training" / "a.json").write_text(json.dumps(puzzle))
    with pytest.raises(DataError, match=r"a\.json: test 2 has no output"):
        load_arc(str(tmp_path), "training")


@pytest.mark.parametrize("text", ["[]", "{", '{"train": 1, "test": []}', '{"train": [], "test": [1]}'])
def test_anything_else_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json"):
        load_arc(str(tmp_path), "training")


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


@pytest.mark.parametrize("key", ["train", "test"])
def test_a_puzzle_without_pairs_is_refused(key: str, tmp_path: Path) -> None:
    """It has nothing to draw from, or no test to score."""
    (tmp_path / "a.json").write_text(json.dumps({"train": [PAIR], "test": [PAIR], key: []}))
    with pytest.raises(DataError, match=rf"a\.json: {key} has no pairs"):
        load_arc(str(tmp_path), "training")


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("[[1, 3.7]]", "row 1 has 3.7"),
        ("[[1, 2.0]]", "row 1 has 2.0"),
        ("[[1], [true]]", "row 2 has True"),
        ('[["3"]]', "row 1 has '3'"),
        ("[[null]]", "row 1 has None"),
        ("[[1, NaN]]", "row 1 has nan"),
        ("[[10]]", "row 1 has 10"),
        ("[[-1]]", "row 1 has -1"),
        ("[[1, 2], [3]]", "row 2 has 1 colours, row 1 has 2"),
        ("[1, 2]", r"the grid is \[1, 2\]"),
        ("[]", r"the grid is \[\]"),
        ("[[]]", r"the grid has shape \(1, 0\)"),
        ("null", "the grid is None"),
        ('"12"', "the grid is '12'"),
        (json.dumps([[0] * 31]), r"the grid has shape \(1, 31\)"),
        (json.dumps([[0]] * 31), r"the grid has shape \(31, 1\)"),
    ],
)
def test_a_grid_of_anything_but_colours_is_refused_with_its_place(
    grid: str, message: str, tmp_path: Path
) -> None:
    """numpy would truncate 3.7, and take true and "3" for colours."""
    text = f'{{"train": [{json.dumps(PAIR)}, {{"input": [[1]], "output": {grid}}}], "test": []}}'
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=rf"a\.json: train pair 2, output: {message}") as caught:
        load_arc(str(tmp_path), "training")
    assert "\n" not in str(caught.value)


def test_an_attempt_of_a_submission_is_a_grid_too(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"p": [{"attempt_1": [[1]], "attempt_2": [[1.5]]}]}))
    with pytest.raises(DataError, match=r"row 1 has 1\.5"):
        load_submission(tmp_path / "a.json")


def test_two_evaluation_puzzles_of_one_name_are_refused(tmp_path: Path) -> None:
    """Answers are voted and scored by name."""
    for folder in ("training", "evaluation/a", "evaluation/b"):
        (tmp_path / folder).mkdir(parents=True)
    for at, name in enumerate(("training/x", "evaluation/a/y", "evaluation/b/y")):
        (tmp_path / f"{name}.json").write_text(
            json.dumps({"train": [PAIR], "test": [{"input": [[at]], "output": [[3]]}]})
        )
    with pytest.raises(InputError, match="two evaluation puzzles are named 'y'"):
        ArcTask(ArcConfig(train=str(tmp_path), evaluate=str(tmp_path)))


def test_a_data_set_has_no_two_training_puzzles_of_one_name(arc_folder: Path, tmp_path: Path) -> None:
    """Its identifiers are names: both would have the identifier of the second."""
    more = tmp_path / "more"
    more.mkdir()
    (more / "training1.json").write_text(json.dumps({"train": [PAIR], "test": [PAIR]}))
    with pytest.raises(InputError, match="two different training puzzles are named 'training1'"):
        build_arc(arc_folder, out=tmp_path / "out", num_aug=1, more=(str(more),))
    assert not (tmp_path / "out").exists()
