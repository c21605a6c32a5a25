"""Tasks by name, and what a person is told who got a name wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import pytest

from sage.hrm_core.tasks import catalogue
from sage.hrm_core.tasks.catalogue import make_task, targets, task_kind


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("sudku", {}, "did you mean 'sudoku'"),
        ("sudoku", {"givns": (5, 6)}, "did you mean 'givens'"),
        ("sudoku", {"size": 5}, "size is 5: give"),
        ("sudoku", {"size": 4, "givens": (3, 7)}, "givens is 3 to 7"),
        ("sudoku", {"size": 9, "nearly_solved": 2}, "nearly_solved is 2"),
        ("sudoku", {"size": 9, "beyond_singles": -0.1}, "beyond_singles is -0.1"),
        ("sudoku", {"size": "nine"}, "check the types"),
        ("maze", {"size": 2}, "size is 2"),
        ("maze", {"difficulty": "brutal"}, "give one of easy, medium, hard"),
        ("hanoi", {"disks": 7}, "disks is 7"),
        ("sat", {"variables": 2}, "variables is 2"),
        ("colouring", {"colours": 1}, "colours is 1"),
        ("patterns", {"kinds": ("chaotic",)}, "give some of arithmetic"),
        ("brackets", {"pairs": 9}, "pairs is 9"),
        ("text", {}, "path is missing"),
        ("text", {"path": "/nowhere"}, "cannot be read"),
        ("arc", {"train": "/nowhere"}, "no such folder"),
        ("folder", {"path": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_wrong_option_is_one_line_with_a_remedy(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as caught:
        make_task(name, **options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lists_stand_for_tuples_as_they_come_from_a_file() -> None:
    assert make_task("sudoku", size=4, givens=[6, 6]).held_out(1).inputs.shape == (1, 16)


def test_every_kind_has_a_line_about_it_and_its_options() -> None:
    for name in targets():
        kind = task_kind(name)
        assert kind.name == name
        assert kind.about
        assert kind.options


@pytest.fixture
def entry_point(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Installs one entry point of sage.tasks for the test's duration."""

    def install(value: str) -> None:
        point = metadata.EntryPoint(name="mine", value=value, group="sage.tasks")
        monkeypatch.setattr(
            metadata, "entry_points", lambda *, group: [point] if group == "sage.tasks" else []
        )
        catalogue.targets.cache_clear()

    yield install
    catalogue.targets.cache_clear()


def test_a_package_of_somebody_else_adds_a_task(entry_point: Any) -> None:
    entry_point("sage.hrm_core.tasks.kinds:HANOI")
    assert make_task("mine", disks=3).spec.name == "hanoi"


def test_an_entry_point_that_is_no_kind_is_refused(entry_point: Any) -> None:
    entry_point("sage.hrm_core.tasks.hanoi:HanoiTask")
    with pytest.raises(TypeError, match="names a TaskKind"):
        make_task("mine")


def test_an_entry_point_that_cannot_be_imported_says_so(entry_point: Any) -> None:
    entry_point("nowhere.at_all:KIND")
    with pytest.raises(ValueError, match="cannot be imported"):
        make_task("mine")


def test_tasks_load_no_torch_and_compile_nothing_until_they_are_asked() -> None:
    modules = "sage.hrm_core.datasets.kinds, sage.hrm_core.tasks.kinds"
    code = f"import sys, {modules}; sys.exit(len({{'torch', 'numba'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0
