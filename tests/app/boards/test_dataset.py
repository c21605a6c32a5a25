"""Data sets to look at: found below given folders alone, shown page by page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sage.app.boards.dataset import Choice, DatasetView, find_datasets, open_dataset
from sage.errors import DataError, InputError


def test_examples_come_with_their_group_and_form(dataset: Path) -> None:
    view = DatasetView(dataset)
    found = view.describe()
    assert found["board"]["kind"] == "sudoku"
    assert found["sides"]["train"] == {"num_examples": 6, "num_puzzles": 6, "num_groups": 3}
    page = view.examples(Choice(start=4, num=5))
    assert (page["num_found"], [each["index"] for each in page["examples"]]) == (6, [4, 5])
    last = page["examples"][-1]
    assert (last["group"], last["form"], last["num_forms"], last["identifier"]) == (2, 2, 2, "<blank>")
    assert len(last["input"]) == len(last["label"]) == 16
    json.dumps(page)
    assert [each["index"] for each in view.examples(Choice(group=1))["examples"]] == [2, 3]
    assert view.examples(Choice(side="test", identifier="no such"))["num_found"] == 0
    assert view.examples(Choice(identifier="blank", start=10))["examples"] == []


@pytest.mark.parametrize("wrong", [{"side": "all"}, {"start": -1}, {"num": 0}, {"num": 101}])
def test_a_choice_is_within_its_limits(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Choice(**wrong)  # type: ignore[arg-type]


def test_only_data_sets_below_the_folders_are_found(dataset: Path, tmp_path: Path) -> None:
    below = dataset.parent
    assert find_datasets([below]) == {"sets/small": dataset.resolve()}
    assert find_datasets([dataset]) == {"small": dataset.resolve()}
    # A link to a data set elsewhere, and a data set with a file elsewhere, are left out.
    (tmp_path / "link").symlink_to(dataset)
    partly = tmp_path / "partly"
    for side in ("train", "test"):
        (partly / side).mkdir(parents=True)
        for file in (dataset / side).iterdir():
            (partly / side / file.name).symlink_to(file)
    (partly / "identifiers.json").write_text("[]")
    assert find_datasets([tmp_path]) == {}


def test_a_damaged_data_set_is_one_line(dataset: Path, tmp_path: Path) -> None:
    for side in ("train", "test"):
        (tmp_path / side).mkdir()
        for file in (dataset / side).iterdir():
            (tmp_path / side / file.name).write_bytes(file.read_bytes())
    (tmp_path / "identifiers.json").write_text("[]")
    with pytest.raises(DataError, match="0 of 1 names"):
        DatasetView(tmp_path)
    (tmp_path / "identifiers.json").write_text('["<blank>"]')
    assert open_dataset(tmp_path, "it").name == "it"
    np.save(tmp_path / "train/all__inputs.npy", np.zeros((6, 15), np.uint8))
    with pytest.raises(DataError, match="shape"):
        DatasetView(tmp_path)
