"""Perfect mazes by each generator: connected, without loops, of their own kind; and walls removed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.maze.config import CARVERS, MazeConfig
from sage.hrm_core.tasks.maze.grid import valid_ways
from sage.hrm_core.tasks.maze.symbols import PATH, WALL
from sage.hrm_core.tasks.maze.task import MazeTask

NUM = 60


def made(size: int = 10, num: int = NUM, seed: int = 0, **options: object) -> np.ndarray:
    """(num, size, size) mazes with their solutions."""
    task = MazeTask(MazeConfig(size=size, min_moves=1, **options))  # type: ignore[arg-type]
    return task.sample(num, np.random.default_rng(seed)).labels.reshape(num, size, size)


def num_parts(is_open: np.ndarray) -> int:
    """Connected parts of the open cells (size, size)."""
    left = {tuple(cell) for cell in np.argwhere(is_open)}
    parts = 0
    while left:
        parts += 1
        queue = [left.pop()]
        while queue:
            row, col = queue.pop()
            near = {(row + 1, col), (row - 1, col), (row, col + 1), (row, col - 1)} & left
            left -= near
            queue += near
    return parts


def num_joins(is_open: np.ndarray) -> int:
    """Pairs of open cells that touch."""
    return int((is_open[1:] & is_open[:-1]).sum() + (is_open[:, 1:] & is_open[:, :-1]).sum())


def share_of_dead_ends(mazes: np.ndarray) -> float:
    is_open = np.pad(mazes != WALL, ((0, 0), (1, 1), (1, 1)))
    degree = (
        is_open[:, 2:, 1:-1].astype(int)
        + is_open[:, :-2, 1:-1]
        + is_open[:, 1:-1, 2:]
        + is_open[:, 1:-1, :-2]
    )
    inside = is_open[:, 1:-1, 1:-1]
    return float((degree[inside] == 1).mean())


@pytest.mark.parametrize(("generator", "size"), list(product(CARVERS, (5, 10, 13, 16))))
def test_a_perfect_maze_is_a_tree_that_reaches_each_cell_of_the_lattice(generator: str, size: int) -> None:
    for maze in made(size, 20, generator=generator):
        is_open = maze != WALL
        assert num_parts(is_open) == 1
        assert num_joins(is_open) == is_open.sum() - 1  # a tree
        rows, cols = np.nonzero(is_open.any(axis=1))[0], np.nonzero(is_open.any(axis=0))[0]
        lattice = is_open[rows[0] : size : 2, cols[0] : size : 2]
        assert lattice.all()
        assert rows[0] + cols[0] <= 2


@pytest.mark.parametrize("generator", CARVERS)
def test_the_lattice_of_an_even_grid_lies_at_each_of_its_four_offsets(generator: str) -> None:
    firsts = set()
    for maze in made(generator=generator):
        is_open = maze != WALL
        firsts.add((int(np.nonzero(is_open.any(axis=1))[0][0]), int(np.nonzero(is_open.any(axis=0))[0][0])))
    assert firsts == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_generators_differ_in_dead_ends_and_length() -> None:
    mazes = {name: made(16, 300, generator=name) for name in CARVERS}
    dead_ends = {name: share_of_dead_ends(each) for name, each in mazes.items()}
    moves = {name: float((each == PATH).sum(axis=(1, 2)).mean()) for name, each in mazes.items()}
    # The order that is known of them: long corridors of depth-first search, many short dead ends of Prim.
    assert dead_ends["backtracker"] < dead_ends["division"] < dead_ends["wilson"]
    assert dead_ends["wilson"] < dead_ends["kruskal"] < dead_ends["prim"]
    assert moves["prim"] < moves["kruskal"] < moves["wilson"] < moves["backtracker"]


def test_wilson_draws_each_spanning_tree_as_often() -> None:
    """3x3 cells at offset (0, 0) are a lattice of 2x2, which has four spanning trees."""
    walls = (made(3, 4000, generator="wilson") == WALL).reshape(4000, 9)
    walls = walls[(~walls).sum(axis=1) == 7]
    _, counts = np.unique(walls, axis=0, return_counts=True)
    expected = counts.sum() / 4
    assert len(counts) == 4
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("generator", [*CARVERS, "random", "any"])
def test_equal_seeds_give_equal_mazes_and_labels_are_shortest_ways(generator: str) -> None:
    task = MazeTask(
        MazeConfig(size=9, difficulty="easy", generator=generator, walls_removed=(0, 0.2))  # type: ignore[arg-type]
    )
    first, second = (task.sample(50, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.inputs, second.inputs)
    assert task.verify(first.inputs, first.labels).all()
    assert ((first.labels == PATH).sum(axis=1) + 1 >= task.config.fewest_moves).all()


def passages(grid: np.ndarray) -> bytes:
    """The open cells in their bounding box, the same under a turn or a mirror."""
    rows, cols = np.nonzero(grid.any(axis=1))[0], np.nonzero(grid.any(axis=0))[0]
    box = grid[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    turns = [np.rot90(each, turn) for each in (box, box[:, ::-1]) for turn in range(4)]
    return min(bytes([len(each)]) + np.ascontiguousarray(each).tobytes() for each in turns)


def layouts(inputs: np.ndarray) -> set[bytes]:
    side = round(inputs.shape[1] ** 0.5)
    return {passages(grid) for grid in inputs.reshape(-1, side, side) != WALL}


@pytest.mark.parametrize("generator", [*CARVERS, "any"])
def test_no_layout_is_on_both_sides_under_a_symmetry_or_at_another_size(generator: str) -> None:
    """The lattice of a 6x6 grid is that of a 5x5 grid, with a row and a column of walls more."""
    options = {"min_moves": 2, "generator": generator, "walls_removed": (0, 0.1)}
    tasks = [
        MazeTask(MazeConfig(size=size, sizes=sizes, **options))  # type: ignore[arg-type]
        for size, sizes in ((5, None), (6, None), (9, (5, 6)))
    ]
    held_out = [layouts(task.held_out(100).inputs) for task in tasks]
    train = [layouts(task.sample(800, np.random.default_rng(0)).inputs) for task in tasks]
    assert min(map(len, held_out)) > 5
    assert len(train[0] & train[1]) > 20  # the sizes do share layouts
    assert not set.union(*held_out) & set.union(*train)


def test_the_share_of_walls_is_removed() -> None:
    size = 11
    options = {"generator": "kruskal", "seed": 5}
    walls = [
        (made(size, 200, walls_removed=(share, share), **options) == WALL).sum(axis=(1, 2)).mean()  # type: ignore[arg-type]
        for share in (0.0, 0.1, 0.5)
    ]
    np.testing.assert_allclose(np.array(walls[1:]) / walls[0], [0.9, 0.5], atol=0.02)


def test_removing_walls_makes_loops_and_several_shortest_ways() -> None:
    mazes = made(10, 100, generator="backtracker", walls_removed=(0.1, 0.1))
    loops = [num_joins(maze != WALL) - (maze != WALL).sum() + num_parts(maze != WALL) for maze in mazes]
    assert np.mean(loops) > 1


def test_smaller_mazes_lie_anywhere_in_the_grid() -> None:
    task = MazeTask(MazeConfig(size=9, sizes=(5, 9), min_moves=2, generator="any"))
    examples = task.sample(300, np.random.default_rng(0))
    assert valid_ways(examples.inputs, examples.labels, 9, is_shortest=True).all()
    grids = examples.inputs.reshape(-1, 9, 9) != WALL
    corners = np.stack([np.argwhere(grid).min(axis=0) for grid in grids])
    extents = np.stack([np.ptp(np.argwhere(grid), axis=0) + 1 for grid in grids])
    assert {5, 7, 9} <= set(extents.max(axis=1).tolist())
    assert (np.ptp(corners, axis=0) >= 4).all()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"generator": "eller"}, "generator is 'eller': give one of random, backtracker"),
        ({"walls_removed": (0.2, 0.1)}, "walls_removed is 0.2 to 0.1: give two shares"),
        ({"size": 9, "sizes": (5, 10)}, "sizes is 5 to 10: give two sides of 3 to 9"),
        ({"size": 9, "sizes": (8, 5)}, "sizes is 8 to 5"),
        ({"size": 9, "sizes": (4, 9), "min_moves": 12}, "min_moves is 12: give 1 to 7"),
        ({"size": 6}, "difficulty is 'hard', which 6x6 cells have no room for: give an easier one"),
    ],
)
def test_options_that_fit_no_maze_are_refused(options: dict[str, object], error: str) -> None:
    with pytest.raises(InputError, match=error):
        MazeConfig(**options)  # type: ignore[arg-type]
