"""Formulas and graphs: the first solution, judged by clauses and edges, on instances of others too."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.constraint.colouring import ColouringConfig, ColouringTask
from sage.hrm_core.tasks.constraint.formulas import load_formulas, parse_dimacs
from sage.hrm_core.tasks.constraint.graphs import load_graphs, parse_graph
from sage.hrm_core.tasks.constraint.sat import FALSE, TRUE, SatConfig, SatTask
from sage.hrm_core.tasks.split import without_ids


def test_a_label_is_the_first_model_by_what_the_literals_want() -> None:
    task = SatTask(SatConfig(variables=5))
    examples = task.sample(20, np.random.default_rng(0))
    every = np.array(list(product((FALSE, TRUE), repeat=5)))
    for inputs, labels in zip(examples.inputs, examples.labels):
        literals = [
            literal for clause in parse_dimacs(task.decode(inputs), "it").clauses for literal in clause
        ]
        wanted = [literals.count(each + 1) - literals.count(-each - 1) for each in range(5)]
        order = sorted(range(5), key=lambda variable: (-abs(wanted[variable]), variable))
        answers = np.repeat(inputs[None], len(every), axis=0)
        answers[:, :5] = every
        models = every[task.verify(np.repeat(inputs[None], len(every), axis=0), answers)].tolist()
        first = min(models, key=lambda model: [(model[each] == TRUE) != (wanted[each] > 0) for each in order])
        assert first == labels[:5].tolist()


def test_a_clause_is_its_signs_four_variables_to_a_cell() -> None:
    task = SatTask(SatConfig(variables=5, clauses=3))
    cells = task.encode("p cnf 5 3\n1 -2 4 0\n-1 2 -5 0\n2 3 4 0")
    first = [4 + 2 + 0 * 3 + 1 * 9 + 2 * 27, 4 + 0 + 2 * 3 + 1 * 9 + 1 * 27, 4 + 1 + 2 * 3 + 2 * 9 + 2 * 27]
    second = [4 + sign + 3 + 9 + 27 for sign in (1, 0, 1)]
    assert cells.tolist() == [1] * 5 + [cell for row in zip(first, second) for cell in row]


def test_a_formula_with_fewer_clauses_than_the_task_takes_is_a_puzzle() -> None:
    task = SatTask(SatConfig(variables=5, clauses=3))
    text = "p cnf 5 2\n1 -2 4 0\n-1 2 -5 0"
    cells = task.encode(text)
    assert task.decode(cells) == text
    assert task.scores(without_ids(cells[None], cells[None]), cells[None])["clauses_satisfied"] == 0.0
    with pytest.raises(InputError, match="no model"):
        task.encode("p cnf 5 2\n1 0\n-1 0")


def test_a_clause_that_always_holds_restricts_no_answer() -> None:
    task = SatTask(SatConfig(variables=4, clauses=3))
    inputs = task.encode("p cnf 4 3\n1 -1 0\n1 1 2 0\n-3 4 3 -4 0\n")
    answers = np.array(inputs)
    answers[:4] = TRUE
    assert task.verify(inputs[None], answers[None]).all()
    assert parse_dimacs("p cnf 4 2\n1 -1 0\n1 1 2 0\n", "it").clauses == ((1, 2),)


def test_choices_simplify_a_formula() -> None:
    task = SatTask(SatConfig(variables=5, clauses=3))
    puzzle = task.encode("p cnf 5 3\n1 -2 4 0\n-1 2 -5 0\n2 3 4 0")[None]
    partial = puzzle.copy()
    partial[0, [0, 1]] = TRUE, FALSE
    assert task.may_extend(puzzle, partial).all()
    rest = task.as_inputs(puzzle, partial)
    assert task.decode(rest[0]) == "p cnf 5 2\n-5 0\n3 4 0"
    partial[0, 4] = TRUE  # the second clause has no true literal any more
    assert not task.may_extend(puzzle, partial).any()


def test_a_formula_without_clauses_left_has_every_value_as_its_answer() -> None:
    task = SatTask(SatConfig(variables=5, clauses=1, width=1))
    puzzle = task.encode("p cnf 5 1\n3 0")[None]
    partial = np.where(np.arange(puzzle.shape[1]) == 2, TRUE, puzzle)
    rest = task.as_inputs(puzzle, partial)
    assert task.decode(rest[0]) == "p cnf 5 0"
    assert task.verify(rest, np.where(rest == 1, FALSE, rest)).all()


def test_a_vertex_is_its_row_of_the_matrix_in_hexadecimal() -> None:
    task = ColouringTask(ColouringConfig(vertices=6))
    rows = task.encode("p edge 5 3\ne 1 2\ne 1 5\ne 2 4").reshape(6, 3)
    assert rows.tolist() == [
        [1, 2 + 2, 2 + 1],
        [1, 2 + 9, 2],
        [1, 2, 2],
        [1, 2 + 2, 2],
        [1, 2 + 1, 2],
        [0, 0, 0],
    ]


def test_chosen_colours_become_edges() -> None:
    """1 and 4 are of one colour, 2 of another: 1 and 4 get each other's neighbours, 2 is joined to both."""
    task = ColouringTask(ColouringConfig(vertices=5))
    puzzle = task.encode("p edge 5 2\ne 1 3\ne 4 5")[None]
    partial = puzzle.copy()
    partial[0, [0, 9]], partial[0, 3] = 20, 18  # width 3: vertices 1 and 4, then vertex 2
    assert task.may_extend(puzzle, partial).all()
    rest = task.as_inputs(puzzle, partial)
    assert task.decode(rest[0]) == "p edge 5 6\ne 1 2\ne 1 3\ne 1 5\ne 2 4\ne 3 4\ne 4 5"
    answers = rest.copy()
    answers[0, ::3] = [18, 19, 20, 18, 19]
    whole = task.complete(puzzle, partial, answers)
    assert whole[0, ::3].tolist() == [20, 18, 19, 20, 18]
    assert task.verify(puzzle, whole).all()
    partial[0, 6] = 20  # vertex 3 is joined to vertex 1
    assert not task.may_extend(puzzle, partial).any()


def test_log_probabilities_of_colours_are_renamed_as_answers_are() -> None:
    task = ColouringTask(ColouringConfig(vertices=5))
    puzzle = task.encode("p edge 5 2\ne 1 3\ne 4 5")[None]
    partial = puzzle.copy()
    partial[0, 0] = 20
    log_probs = np.full((1, 15, 21), -9.0)
    log_probs[0, 0, 18:], log_probs[0, 6, 18:] = [-0.1, -3, -4], [-2, -0.5, -7]
    found = task.choice_log_probs(puzzle, partial, log_probs)
    assert found[0, 0, 18:].tolist() == [-3, -4, -0.1]
    assert found[0, 6, 18:].tolist() == [-0.5, -7, -2]


def test_pieces_of_a_graph_are_connected_and_none_comes_twice(tmp_path: Path) -> None:
    ring = tmp_path / "ring.col"
    ring.write_text("\n".join(["p edge 9 9", *(f"e {at + 1} {(at + 1) % 9 + 1}" for at in range(9))]))
    task = ColouringTask(ColouringConfig(vertices=4, instances=str(ring), pieces=30))
    graphs = [parse_graph(task.decode(cells), "piece") for cells in task.held_out(30).inputs]
    assert 1 < len(graphs) == len(set(graphs)) < 30
    assert all(len(graph.edges) == 3 for graph in graphs)
    with pytest.raises(ValueError, match="pieces is 3: give 0 to 100,000, and the instances"):
        ColouringConfig(pieces=3)


def test_real_formulas_are_solved(puzzle_data: Path) -> None:
    task = SatTask(SatConfig(instances=str(puzzle_data / "sat" / "uf20-91.jsonl")))
    examples = task.held_out(500)
    assert len(examples) == 500
    assert task.verify(examples.inputs, examples.answers()).all()
    assert (
        0.9 < task.scores(examples, task.baseline(examples.inputs).answers)["clauses_satisfied"].mean() < 1.0
    )


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


@pytest.mark.parametrize(
    ("task", "text", "values", "told"),
    [
        (
            SatTask(SatConfig(variables=4, clauses=2)),
            "p cnf 4 2\n1 -2 0\n3 4 0",
            [3, 2, 3, 2],
            "v 1 -2 3 -4 0",
        ),
        (
            ColouringTask(ColouringConfig(vertices=4, colours=3)),
            "p edge 3 2\ne 1 2\ne 2 3",
            [18, 20, 18],
            "l 1 1\nl 2 3\nl 3 1",
        ),
    ],
    ids=["sat", "colouring"],
)
def test_an_answer_is_its_values_whatever_a_model_gives_for_the_puzzle(
    task: SatTask | ColouringTask, text: str, values: list[int], told: str
) -> None:
    puzzle = task.encode(text)
    assert task.decode(puzzle) == text
    answer = np.random.default_rng(0).integers(0, task.spec.vocab_size, len(puzzle)).astype(np.int32)
    answer[np.flatnonzero(puzzle == task.spec.blank)] = values
    whole = task.with_givens(puzzle[None], answer[None])
    assert task.verify(puzzle[None], whole).all()
    assert task.decode(whole[0]) == told
    np.testing.assert_array_equal(whole[0][puzzle != task.spec.blank], puzzle[puzzle != task.spec.blank])


def test_a_file_may_begin_with_the_mark_of_utf_8(tmp_path: Path) -> None:
    """As editors of Windows write it."""
    (tmp_path / "one.cnf").write_text("p cnf 2 1\n1 -2 0\n", "utf-8-sig")
    (tmp_path / "one.jsonl").write_text('{"nvars": 2, "clauses": [[1, -2]]}\n', "utf-8-sig")
    (tmp_path / "one.col").write_text("p edge 2 1\ne 1 2\n", "utf-8-sig")
    for path in (tmp_path, tmp_path / "one.cnf", tmp_path / "one.jsonl"):
        assert [each.clauses for each in load_formulas(path)] == [((1, -2),)]
    assert [each.edges for each in load_graphs(tmp_path)] == [((0, 1),)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"nvars": 2, "clauses": [[1.9, -2]]}', "1.9 is no whole number"),
        ('{"nvars": 2.5, "clauses": [[1, -2]]}', "2.5 is no whole number"),
        ('{"nvars": 2, "clauses": [[true, -2]]}', "True is no whole number"),
        ('{"nvars": 2, "clauses": [["1", -2]]}', "1 is no whole number"),
        ("[" * 100_000, "line 1"),
    ],
)
def test_numbers_of_json_are_not_truncated(line: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text(line)
    with pytest.raises(InputError, match=told) as caught:
        load_formulas(path)
    assert "\n" not in str(caught.value)


def test_blank_lines_and_ends_of_lines_of_windows_are_read(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_bytes(b'{"nvars": 2, "clauses": [[1, -2]]}\r\n\r\n')
    assert [each.clauses for each in load_formulas(tmp_path / "one.jsonl")] == [((1, -2),)]
    assert parse_dimacs("p cnf 2 2\r\n1 -2 0\r\n2 0", "it").clauses == ((1, -2), (2,))
    assert parse_graph("p edge 2 1\r\n\r\ne 1 2\r\n", "it").edges == ((0, 1),)


def test_a_formula_with_an_empty_clause_has_no_model() -> None:
    """It was read without the clause, as one that has."""
    with pytest.raises(InputError, match=r"it: clause 2 is \[\]"):
        parse_dimacs("p cnf 2 3\n1 -2 0\n0\n2 0\n", "it")


@pytest.mark.parametrize("word", ["1_0", "\u0661", "1.0", "9" * 5000, "--1"])
def test_what_is_no_number_is_refused(word: str) -> None:
    for read, text in ((parse_dimacs, f"p cnf 20 1\n{word} 0"), (parse_graph, f"p edge 20 1\ne {word} 2")):
        with pytest.raises(InputError, match="it: line 2: ") as caught:
            read(text, "it")
        assert len(str(caught.value)) < 300
