"""Tasks by name, and what a person is told who got a name wrong."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import pytest

from sage.errors import DataError, InputError
from sage.hrm_core.tasks import catalogue
from sage.hrm_core.tasks.catalogue import make_task, targets, task_kind
from sage.hrm_core.tasks.options import checked_options

MAZE = {"name": "maze", "size": 8, "difficulty": "easy"}
HOSTILE: tuple[Any, ...] = (
    *([], [1], [[]], {}, {"a": 1}, "x", "", None, True, 5, -1, 10**30, 1e308, -0.5, math.nan, math.inf),
    *([math.nan, 1], [1, math.inf], [10**30, 10**30], ["a", "b"], [-1, -1], [1, 2, 3], "a\0b", object()),
)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("sudku", {}, "did you mean 'sudoku'"),
        ("sudoku", {"givns": (5, 6)}, "did you mean 'givens'"),
        ("sudoku", {"size": 5}, "size is 5: give"),
        ("sudoku", {"size": 4, "givens": (3, 7)}, "givens is 3 to 7"),
        ("sudoku", {"size": 9, "nearly_solved": 2}, "nearly_solved is 2"),
        ("sudoku", {"size": 9, "beyond_singles": -0.1}, "beyond_singles is -0.1"),
        ("sudoku", {"size": "nine"}, "task sudoku: size is 'nine': give a whole number"),
        ("sudoku", {"size": True}, "task sudoku: size is True: give a whole number"),
        ("sudoku", {"size": 4.5}, "task sudoku: size is 4.5: give a whole number"),
        ("sudoku", {"givens": []}, "task sudoku: givens is []: give two whole numbers"),
        ("sudoku", {"givens": [math.nan, 1]}, "task sudoku: givens is [nan, 1]: give two whole numbers"),
        ("sudoku", {"givens": 5}, "task sudoku: givens is 5: give two whole numbers"),
        ("sudoku", {"train": []}, "task sudoku: train is []: give a text"),
        ("sudoku", {"train": "a\0b"}, "task sudoku: cannot be made with {'train': 'a\\x00b'}: ValueError"),
        ("maze", {"density": math.nan}, "task maze: density is nan: give two finite numbers"),
        ("maze", {"generator": []}, "task maze: generator is []: give one of random, backtracker"),
        ("sat", {"ratio": math.nan}, "task sat: ratio is nan: give a finite number"),
        ("sat", {"ratio": 1e308}, "ratio is 1e+308: give 1 to 10,000 clauses"),
        ("patterns", {"kinds": [[]]}, "task patterns: kinds is [[]]: give a list of texts"),
        ("patterns", {"terms": 10**30}, f"terms is {10**30}: give up to 1000"),
        ("arc_generated", {"seed": -1}, "seed is -1: give 0 or more"),
        (
            "mixture",
            {"tasks": [MAZE, {**MAZE, "weight": math.nan}]},
            "weight is nan in a part: give a finite",
        ),
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


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name in targets() for option in task_kind(name).options]
)
def test_no_value_of_an_option_ends_in_another_error(name: str, option: str) -> None:
    for value in HOSTILE:
        assert "\n" not in _refusal(name, option, value), value


def _refusal(name: str, option: str, value: Any) -> str:
    """What is wrong with the option, or nothing where puzzles can be made."""
    try:
        task = make_task(name, **{option: value})
        if name in ("arc_generated", "colouring", "patterns", "sat"):  # the others compile for seconds
            task.sample(1, np.random.default_rng(0))
    except (InputError, DataError) as error:
        return str(error)
    return "" if task.spec.seq_len > 0 else "no cells"


def test_a_whole_number_may_be_written_with_a_point() -> None:
    task: Any = make_task("sudoku", size=4.0, givens=[6.0, 6])
    assert (task.config.size, task.config.givens) == (4, (6, 6))
    assert type(task.config.size) is int


@dataclass
class ForeignConfig:
    """Its hint has no name at run time, as under TYPE_CHECKING."""

    disks: Absent = 3  # type: ignore[name-defined]  # noqa: F821


@dataclass
class MixedConfig:
    share: int | str | None = None


def test_hints_that_cannot_be_read_check_nothing_and_a_union_accepts_each_of_its_kinds() -> None:
    assert checked_options(ForeignConfig, {"disks": [1]}) == {"disks": (1,)}
    for value in (3, "x", None):
        assert checked_options(MixedConfig, {"share": value}) == {"share": value}
    with pytest.raises(InputError, match=r"share is \[\]: give a whole number or a text"):
        checked_options(MixedConfig, {"share": []})


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
    with pytest.raises(InputError, match="names a TaskKind"):
        make_task("mine")


def test_an_entry_point_that_cannot_be_imported_says_so(entry_point: Any) -> None:
    entry_point("nowhere.at_all:KIND")
    with pytest.raises(ValueError, match="cannot be imported"):
        make_task("mine")


def test_tasks_load_no_torch_and_compile_nothing_until_they_are_asked() -> None:
    modules = "sage.hrm_core.datasets.kinds, sage.hrm_core.tasks.kinds"
    code = f"import sys, {modules}; sys.exit(len({{'torch', 'numba'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0
