"""The same puzzles in the same order, with and without a thread."""

import threading

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Examples
from sage.hrm_core.tasks.split import without_ids
from sage.sensors.environments.puzzles.drawing import Drawing


class CountingSource:
    """Batches of 4 puzzles that hold their number. gate: a batch is returned once it is set."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.done = threading.Event()
        self.threads: set[int] = set()

    def batch(self, index: int) -> Examples:
        assert self.gate.wait(10)
        self.threads.add(threading.get_ident())
        cells = np.arange(4 * index, 4 * index + 4, dtype=np.int32)[:, None]
        self.done.set()
        return without_ids(cells, cells)


def test_without_a_thread_a_puzzle_is_always_there() -> None:
    source = CountingSource()
    source.gate.set()
    drawing = Drawing([source], is_ahead=False)  # type: ignore[list-item]
    taken = [drawing.take(0) for _ in range(10)]
    assert [int(each.cells[0]) for each in taken if each is not None] == list(range(10))
    assert source.threads == {threading.get_ident()}


def test_with_a_thread_take_does_not_wait_and_loses_no_puzzle() -> None:
    source = CountingSource()
    drawing = Drawing([source], is_ahead=True)  # type: ignore[list-item]
    try:
        assert drawing.take(0) is None
        assert drawing.take(0) is None
        source.gate.set()
        drawing.fill(0)
        numbers: list[int] = []
        while len(numbers) < 10:
            taken = drawing.take(0)
            if taken is None:
                drawing.fill(0)
            else:
                numbers.append(int(taken.cells[0]))
        assert numbers == list(range(10))
        assert threading.get_ident() not in source.threads - {threading.get_ident()}
    finally:
        drawing.close()


def test_what_the_generator_raises_is_raised_by_take() -> None:
    class Empty:
        def batch(self, index: int) -> Examples:
            raise InputError("no such puzzle in 200 draws: loosen the options")

    with pytest.raises(InputError, match="loosen"):
        Drawing([Empty()], is_ahead=False).take(0)  # type: ignore[list-item]
