"""The published layout: every set is read, and a broken folder is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sage.errors import DataError
from sage.hrm_core.datasets.folder_task import FolderConfig, FolderTask
from sage.hrm_core.datasets.layout import check, read_side


@pytest.mark.parametrize(
    ("damage", "message"),
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
        (lambda folder: (folder / "identifiers.json").write_text("[]"), "identifiers.json has 0 of 1 names"),
    ],
)
def test_a_broken_folder_raises_one_line_with_the_fault(built: Path, damage: object, message: str) -> None:
    assert callable(damage)
    damage(built)
    with pytest.raises(DataError) as caught:
        check(built)
    assert message in str(caught.value)
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vocab_size", "11"),
        ("vocab_size", None),
        ("vocab_size", 0),
        ("num_puzzle_identifiers", "1"),
        ("num_puzzle_identifiers", None),
        ("mean_puzzle_examples", "1.0"),
        ("mean_puzzle_examples", None),
        ("mean_puzzle_examples", -1.0),
        ("mean_puzzle_examples", float("nan")),
        ("seq_len", 81.0),
        ("ignore_label_id", "0"),
    ],
)
def test_a_value_of_another_kind_in_dataset_json_is_refused(name: str, value: object, built: Path) -> None:
    for side in ("train", "test"):
        file = built / side / "dataset.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))
    for read in (check, lambda path: FolderTask(FolderConfig(path=str(path)))):
        with pytest.raises(DataError, match=rf"dataset\.json: .*{name} is "):
            read(built)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("inputs", np.full((24, 81), "a"), "inputs has 2 axes of <U1"),
        ("inputs", np.full((24, 81), 1.5), "inputs has 2 axes of float64"),
        ("inputs", np.array(3), "inputs has 0 axes"),
        ("puzzle_identifiers", np.array(["a"] * 24), "puzzle_identifiers has 1 axes of <U1"),
        ("puzzle_identifiers", np.zeros((24, 2), np.int32), "puzzle_identifiers has 2 axes"),
        ("group_indices", np.arange(0.0, 25.0, 4.0), "group_indices has 1 axes of float64"),
        ("group_indices", np.array([0, 8, 4, 12, 16, 20, 24], np.uint32), "group_indices does not increase"),
        ("group_indices", np.array([0, 4, 4, 12, 16, 20, 24], np.int32), "group 1 has no puzzles"),
        ("puzzle_indices", np.array([0, *range(24), 24][1:], np.int32), "puzzle 23 has no examples"),
    ],
)
def test_an_array_that_cannot_be_sampled_is_refused(
    name: str, array: np.ndarray, message: str, built: Path
) -> None:
    if name == "puzzle_indices":
        array[-2] = 24
    np.save(built / "train" / f"all__{name}.npy", array)
    for read in (check, lambda path: FolderTask(FolderConfig(path=str(path)))):
        with pytest.raises(DataError, match=message):
            read(built)


def test_cells_below_zero_are_refused(built: Path) -> None:
    np.save(built / "train" / "all__inputs.npy", np.full((24, 81), -1, np.int8))
    with pytest.raises(DataError, match="train has cells of -1, the vocabulary begins at 0"):
        check(built)


def test_test_examples_that_are_training_examples_are_counted(built: Path) -> None:
    assert check(built).num_shared == 0
    inputs, labels = (np.load(built / "train" / f"all__{name}.npy") for name in ("inputs", "labels"))
    for name, array in (("inputs", inputs), ("labels", labels)):
        own = np.load(built / "test" / f"all__{name}.npy")
        own[1:3] = array[[0, 7]]
        np.save(built / "test" / f"all__{name}.npy", own)
    assert check(built).num_shared == 2
