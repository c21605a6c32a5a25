"""Formulas and graphs: the first solution, judged by clauses and edges, on instances of others too."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from sage.hrm_core.tasks.colouring import ColouringConfig, ColouringTask
from sage.hrm_core.tasks.formulas import parse_dimacs
from sage.hrm_core.tasks.graphs import parse_graph
from sage.hrm_core.tasks.sat import FALSE, TRUE, SatConfig, SatTask


def test_a_label_is_the_first_model_of_all() -> None:
    task = SatTask(SatConfig(variables=5))
    examples = task.sample(20, np.random.default_rng(0))
    for inputs, labels in zip(examples.inputs, examples.labels):
        every = np.array([[*values, *inputs[5:]] for values in product((FALSE, TRUE), repeat=5)])
        models = every[task.verify(np.repeat(inputs[None], len(every), axis=0), every)]
        np.testing.assert_array_equal(models[0, :5], labels[:5])


def test_real_formulas_are_solved(puzzle_data: Path) -> None:
    task = SatTask(SatConfig(instances=str(puzzle_data / "sat" / "uf20-91.jsonl")))
    examples = task.held_out(500)
    assert len(examples) == 500
    assert task.verify(examples.inputs, examples.answers()).all()
    assert 0.9 < task.scores(examples, task.baseline(examples.inputs).answers)["clauses_satisfied"].mean() < 1.0


def test_real_graphs_are_coloured(puzzle_data: Path) -> None:
    config = ColouringConfig(vertices=36, colours=7, instances=str(puzzle_data / "coloring" / "instances"))
    task = ColouringTask(config)
    examples = task.held_out(100)
    assert len(examples) == 4
    assert task.verify(examples.inputs, examples.answers()).all()


@pytest.mark.parametrize("text", ["1 2 0", "p cnf 2 1\n1 3 0", "p cnf 2 1\n1 x 0", "p edge 2 1\n1 2 0"])
def test_a_file_that_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"some\.cnf"):
        parse_dimacs(text, "some.cnf")


@pytest.mark.parametrize("text", ["e 1 2", "p edge 2 1\ne 1 3", "p edge 2 1\ne 1 1", "p cnf 2 1", ""])
def test_a_file_that_is_no_graph_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"some\.col"):
        parse_graph(text, "some.col")
