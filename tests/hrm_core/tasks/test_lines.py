from __future__ import annotations

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.lines import exclusive_lines, has_exclusive_lines


def test_lines_of_4x4_are_its_rows_columns_and_boxes():
    lines = exclusive_lines(make_task("sudoku", size=4).spec)
    assert lines[:4].tolist() == np.arange(16).reshape(4, 4).tolist()
    assert lines[4:8].tolist() == np.arange(16).reshape(4, 4).T.tolist()
    assert lines[8:].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


@pytest.mark.parametrize("size", [4, 6, 9])
def test_each_symbol_stands_once_in_each_line_of_a_solution(size):
    task = make_task("sudoku", size=size)
    examples = task.held_out(4)
    lines = exclusive_lines(task.spec)
    assert lines.shape == (3 * size, size)
    symbols = np.sort(examples.labels[:, lines], axis=2)  # (N, M, n)
    assert (symbols == np.arange(size) + task.spec.alike_from).all()


def test_boxes_that_are_not_square():
    lines = exclusive_lines(make_task("sudoku", size=6, box=(3, 2)).spec)
    assert lines[12].tolist() == [0, 1, 6, 7, 12, 13]


@pytest.mark.parametrize(
    ("name", "options"), [("maze", {"size": 10}), ("colouring", {}), ("hanoi", {}), ("sat", {})]
)
def test_a_task_without_lines_is_refused(name, options):
    spec = make_task(name, **options).spec
    assert not has_exclusive_lines(spec)
    with pytest.raises(InputError, match=f"task {name}: no lines"):
        exclusive_lines(spec)
