"""Mazes as text: marks and borders are removed, and the error for each kind of wrong maze."""

from __future__ import annotations

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.maze.text import parse, read

OPEN_MAZE = "S..\n.#.\n..G"


def test_a_marked_path_is_cleared() -> None:
    np.testing.assert_array_equal(read("Soo\n.#o\n..G", 3), read(OPEN_MAZE, 3))
    assert (parse("Soo\n.#o\n..G", 3) == 5).sum() == 3


def test_a_border_of_walls_is_removed_where_the_inside_has_the_size() -> None:
    np.testing.assert_array_equal(read("#####\n#S..#\n#.#.#\n#..G#\n#####", 3), read(OPEN_MAZE, 3))
    assert len(read("#####\n#S..#\n#.#.#\n#..G#\n#####", 5)) == 25


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("S.G", "1 lines of 3 cells: give 3 lines of 3"),
        ("S...\n....\n...G\n....", "4 lines of 4 cells: give 3 lines of 3"),
        ("S..#\n...\n..G", "line 1 has 4"),
        ("S.x\n...\n..G", "line 1, cell 3 is 'x'"),
        ("...\n...\n..G", "0 cells S"),
        ("S.G\n...\n..G", "2 cells G"),
        ("S#.\n##.\n..G", "no path leads from S to G"),
    ],
)
def test_a_wrong_maze_raises_with_the_reason(text: str, error: str) -> None:
    with pytest.raises(InputError, match=error):
        read(text, 3)
