"""The tables of CONTRIBUTING.md match the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def _rows(repository: Path, heading: str) -> list[list[str]]:
    page = (repository / "CONTRIBUTING.md").read_text()
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _folders(cell: str) -> list[str]:
    return re.findall(r"`([\w/]+)`", cell)


def test_every_floor_is_listed(repository: Path) -> None:
    listed = {folder for _, cell, _ in _rows(repository, "Floors") for folder in _folders(cell)}
    assert listed == {f"sage/{path.parent.name}" for path in (repository / "sage").glob("*/__init__.py")}


def test_folders_that_are_there_exist_and_planned_ones_do_not(repository: Path) -> None:
    for what, cell, today in _rows(repository, "Where things go"):
        (folder,) = _folders(cell)
        assert today in ("there", "planned"), what
        assert (repository / folder).is_dir() == (today == "there"), f"{what}: {folder} is not {today}"
        assert (repository / folder).parent.is_dir()


@pytest.mark.parametrize("floor", ["sensors", "memory", "mailbox", "hrm_core", "runtime", "app"])
def test_most_folders_of_a_floor_have_a_row(floor: str, repository: Path) -> None:
    """A row for each folder that a change may land in; the rest are parts of one that has."""
    listed = {folder for _, cell, _ in _rows(repository, "Where things go") for folder in _folders(cell)}
    parts = {
        "sage/app": {"demo", "devices", "live", "models", "report", "session", "terminal"},
        "sage/hrm_core": {"config", "datasets", "evaluation", "export", "observation", "text", "training"},
        "sage/mailbox": {"cuda", "local"},
        "sage/memory": {"windows"},
        "sage/runtime": {"channels"},
    }
    home = f"sage/{floor}"
    found = {path.parent.name for path in (repository / home).glob("*/__init__.py")}
    missing = {name for name in found if f"{home}/{name}" not in listed} - parts.get(home, set())
    assert not missing
