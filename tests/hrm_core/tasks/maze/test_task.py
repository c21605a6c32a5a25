"""Mazes: the published labels to the cell, ways that are as good, and Maze-Hard's distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.maze import carved_kernel, kernel
from sage.hrm_core.tasks.maze import task as maze_task
from sage.hrm_core.tasks.maze.grid import solve_mazes
from sage.hrm_core.tasks.maze.symbols import PATH
from sage.hrm_core.tasks.maze.task import LoadedMazes, MazeConfig, MazeTask
from sage.hrm_core.tasks.maze.text import parse

TWO_WAYS = "S..\n.#.\n..G"


def test_the_first_way_goes_down_before_right() -> None:
    task = MazeTask(MazeConfig(size=3, min_moves=1))
    solved = solve_mazes(task.encode(TWO_WAYS)[None], 3).cells[0]
    assert task.decode(solved) == "S  \no# \nooG"


def test_another_shortest_way_is_valid_but_no_exact_match() -> None:
    task = MazeTask(MazeConfig(size=3, min_moves=1))
    cells = task.encode(TWO_WAYS)[None]
    examples = type(task.held_out(1))(
        inputs=cells, labels=solve_mazes(cells, 3).cells, puzzle_ids=np.array([-1])
    )
    scores = task.scores(examples, parse("Soo\n.#o\n..G", 3)[None])
    assert {name: value.tolist() for name, value in scores.items()} == {
        "exact_match": [0.0],
        "valid_optimal_path": [1.0],
        "valid_path": [1.0],
    }


@pytest.mark.parametrize("answer", ["Soo\no#o\nooG", "So.\n.#o\n..G", "Soo\n..o\n..G", "S..\n.#.\n..G"])
def test_marks_off_the_way_gaps_and_moved_walls_are_wrong(answer: str) -> None:
    task = MazeTask(MazeConfig(size=3, min_moves=1))
    assert not task.verify(task.encode(TWO_WAYS)[None], parse(answer, 3)[None]).any()


@pytest.mark.parametrize("difficulty", ["easy", "medium"])
def test_ways_are_as_long_as_the_difficulty_says(difficulty: str) -> None:
    task = MazeTask(MazeConfig(size=10, difficulty=difficulty))  # type: ignore[arg-type]
    examples = task.sample(64, np.random.default_rng(0))
    moves = (examples.labels == PATH).sum(axis=1) + 1
    assert moves.min() >= task.config.fewest_moves


def test_published_labels_are_found_to_the_cell(puzzle_data: Path) -> None:
    task = LoadedMazes(puzzle_data / "maze" / "maze_hard_1k.npz")
    assert (len(task.train), len(task.dev), task.num_left_out) == (1000, 500, 0)
    for side in (task.train, task.dev):
        np.testing.assert_array_equal(solve_mazes(side.inputs, 30).cells, side.labels)


@pytest.mark.slow
def test_mazes_made_here_are_distributed_as_maze_hard(puzzle_data: Path) -> None:
    real = LoadedMazes(puzzle_data / "maze" / "maze_hard_1k.npz").train
    made = MazeTask().sample(600, np.random.default_rng(0))
    for count in (
        lambda each: (each.inputs == 1).sum(axis=1),
        lambda each: (each.labels == PATH).sum(axis=1),
    ):
        ours, theirs = count(made), count(real)
        assert abs(ours.mean() - theirs.mean()) < 4 * theirs.std() / np.sqrt(150)
        assert 0.8 < ours.std() / theirs.std() < 1.25


def test_mazes_that_there_are_none_of_are_refused_after_a_million_layouts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[int] = []

    def make_none(
        self: MazeTask, num: int, rng: np.random.Generator, max_tries: int, **_: bool
    ) -> np.ndarray:
        tried.append(max_tries)
        return np.zeros((0, 100), np.int64)

    monkeypatch.setattr(MazeTask, "_made", make_none)
    task = MazeTask(MazeConfig(size=10, difficulty="easy"))
    with pytest.raises(InputError, match="no such puzzle in 11 draws: loosen the options"):
        task.sample(1, np.random.default_rng(0))
    assert sum(tried) < 2_000_000


@pytest.mark.parametrize(
    "config",
    [
        MazeConfig(size=8, min_moves=6),
        MazeConfig(size=7, min_moves=15),  # rare
        MazeConfig(size=7, min_moves=8, walls_removed=(0.1, 0.4)),
        MazeConfig(size=9, min_moves=12, generator="any"),
    ],
    ids=["usual", "rare", "removed", "any"],
)
def test_mazes_do_not_depend_on_the_length_of_the_calls(
    config: MazeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    for cells in (10**9, 1):
        monkeypatch.setattr(maze_task, "CELLS_A_CALL", cells)
        drawn.append(MazeTask(config).sample(5, np.random.default_rng(0)).inputs)
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("name", ["make", "make_rare"])
def test_a_call_looks_at_few_cells(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand layouts of 200x200 cells were one call, which no signal can end."""
    given: list[int] = []

    def make(mazes: np.ndarray, *rules: Any) -> int:
        given.append(rules[-1])
        if len(given) == 3:
            raise KeyboardInterrupt
        return 0

    monkeypatch.setattr(kernel, name, make)
    task = MazeTask(MazeConfig(size=200))
    with pytest.raises(KeyboardInterrupt):
        task._made(4, np.random.default_rng(0), 100_000, is_held_out=False, is_rare=name == "make_rare")
    assert max(given) * 200**2 < 10**8


def test_walls_to_remove_that_give_no_maze_are_refused_early(monkeypatch: pytest.MonkeyPatch) -> None:
    num_layouts = 0

    def make(mazes: np.ndarray, *rules: Any) -> int:
        """Each call ends a draw of random walls without a maze."""
        nonlocal num_layouts
        num_layouts += rules[-1]
        rules[-2][4] += 1
        return 0

    monkeypatch.setattr(carved_kernel, "make_carved", make)
    task = MazeTask(MazeConfig(size=10, min_moves=49, walls_removed=(0.2, 0.2)))
    with pytest.raises(InputError, match="no such puzzle in 11 draws: loosen the options"):
        task.sample(64, np.random.default_rng(0))
    assert num_layouts <= 11 * 4 * maze_task.CELLS_A_CALL // 12**2


def test_no_maze_of_several_sides_is_drawn_where_none_is_asked_for() -> None:
    """A mixture of tasks asks for as many rows of each as it has drawn: often none."""
    task = MazeTask(MazeConfig(size=6, sizes=(4, 6), min_moves=2))
    assert task.draw(0, np.random.default_rng(0), is_held_out=False).inputs.shape == (0, 36)


CORRIDOR = np.array([[3, 2, 4], [1, 1, 1], [1, 1, 1]]).reshape(1, 9)
MARKED = np.where(CORRIDOR == 2, PATH, CORRIDOR)


def test_mazes_of_a_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mazes.npz"
    both = np.concatenate([CORRIDOR, CORRIDOR]), np.concatenate([MARKED, MARKED])
    np.savez(path, train_inputs=both[0], train_labels=both[1], dev_inputs=CORRIDOR, dev_labels=MARKED)
    task = LoadedMazes(path)
    assert (len(task.train), len(task.dev), task.num_left_out) == (0, 1, 2)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dev_labels": CORRIDOR}, "maze 1 of dev: its label is not a shortest way"),
        ({"train_labels": np.repeat(MARKED, 2, axis=0)}, "a label for each"),
        ({"train_inputs": np.where(CORRIDOR == 4, 3, CORRIDOR)}, "maze 1 of train"),
        ({"train_inputs": CORRIDOR + 0.5}, "train_inputs is float64: give whole numbers"),
        ({"dev_inputs": np.int64(3)}, "arrays of shapes"),
    ],
)
def test_wrong_arrays_are_one_line(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path, names = tmp_path / "mazes.npz", ("train_inputs", "dev_inputs")
    arrays = {name: CORRIDOR for name in names} | {name.replace("inputs", "labels"): MARKED for name in names}
    np.savez(path, **(arrays | changes))
    with pytest.raises(InputError, match=told):
        LoadedMazes(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no arrays", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mazes.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"mazes\.npz: not a set of mazes"):
        LoadedMazes(tmp_path / "mazes.npz")


def test_one_array_in_place_of_a_set_is_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "mazes.npy", CORRIDOR)
    with pytest.raises(InputError, match="not a set of mazes"):
        LoadedMazes(tmp_path / "mazes.npy")
