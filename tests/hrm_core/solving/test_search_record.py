"""A record has the tree of its search, and knows which nodes the rules closed."""

from __future__ import annotations

import numpy as np

from sage.hrm_core.solving.engine import Engine
from sage.hrm_core.solving.search_record import SearchRecord
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.tasks.sudoku.task import BLANK, SudokuConfig, SudokuTask


def _node(*cells: int) -> np.ndarray:
    return np.array(cells, np.int32)


def test_a_node_is_closed_when_every_choice_that_follows_is() -> None:
    record = SearchRecord()
    record.add(_node(1, 1, 1), parent=-1)
    record.note_expanded(0, np.stack([_node(2, 1, 1), _node(3, 1, 1)]))  # nodes 1 and 2
    record.note_expanded(1, np.stack([_node(2, 2, 1)]))  # node 3
    record.note_expanded(3, np.zeros((0, 3), np.int32))
    assert record.parents.tolist() == [-1, 0, 0, 1]
    assert record.is_closed.tolist() == [False, True, False, True]
    record.note_expanded(2, np.zeros((0, 3), np.int32))
    assert record.is_closed.tolist() == [True, True, True, True]


def test_a_record_has_the_nodes_of_its_search(build_solver_model) -> None:
    task = SudokuTask(SudokuConfig(size=4))
    settings = SolveSettings(search=20, max_segments=1, search_segments=1, search_width=3)
    engine, seen = Engine(build_solver_model(), task), 0
    for puzzle in task.held_out(4).inputs:
        record = SearchRecord()
        job = engine.submit(puzzle, settings, record=record)
        while not engine.is_idle:
            engine.step()
        trace = job.solution().trace
        assert trace is not None
        assert len(record) == trace.nodes
        assert record.is_read.sum() == trace.calls
        np.testing.assert_array_equal(record.partials[0], puzzle)
        partials, parents = record.partials, record.parents
        assert (parents[1:] < np.arange(1, len(record))).all()
        assert ((partials[1:] != partials[parents[1:]]).sum(axis=1) == 1).all()
        assert (record.is_read[parents[1:]]).all()
        assert task.may_extend(np.repeat(puzzle[None], len(record), axis=0), partials).all()
        seen += int(((partials == BLANK).sum(axis=1) < (puzzle == BLANK).sum() - 1).any())
    assert seen


def test_a_puzzle_that_needs_no_search_leaves_no_record(build_solver_model, build_verifier) -> None:
    engine, record = Engine(build_solver_model(), build_verifier(1)), SearchRecord()
    engine.submit(np.ones(16, np.int32), SolveSettings(), record=record)
    while not engine.is_idle:
        engine.step()
    assert len(record) == 0
    assert record.is_closed.shape == (0,)
