"""Graphs of causes and symptoms: labels are the one smallest explanation, and the checker keeps the rule."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import IGNORED
from sage.hrm_core.tasks.diagnosis import kernel
from sage.hrm_core.tasks.diagnosis.config import DiagnosisConfig
from sage.hrm_core.tasks.diagnosis.graphs import BLANK, CLEARED, NAMED, PAD, Graphs
from sage.hrm_core.tasks.diagnosis.task import DiagnosisTask

SMALL = DiagnosisConfig(causes=(4, 9), symptoms=(4, 9), nodes=(8, 18), reach=(1, 4), alike=0.8)


def explanations(graphs: Graphs, row: int) -> list[frozenset[int]]:
    """All smallest sets of causes of one graph that keep the rule, by trying every set."""
    edges, present = graphs.edges[row], graphs.present[row]
    causes = [cause for cause in np.flatnonzero(graphs.has_cause[row]) if not (edges[cause] & ~present).any()]
    for size in range(len(causes) + 1):
        found = [
            frozenset(chosen)
            for chosen in combinations(causes, size)
            if (edges[list(chosen)].any(axis=0) == present).all()
        ]
        if found:
            return found
    return []


def named_sets(task: DiagnosisTask, answers: np.ndarray) -> list[frozenset[int]]:
    return [frozenset(np.flatnonzero(row).tolist()) for row in task.causes_of(answers)]


def test_labels_are_the_only_smallest_explanation_that_exists() -> None:
    task = DiagnosisTask(SMALL)
    examples = task.sample(150, np.random.default_rng(0))
    graphs = task.graphs_of(examples.inputs)
    sizes = set()
    for row, named in enumerate(named_sets(task, examples.answers())):
        assert explanations(graphs, row) == [named]
        sizes.add(len(named))
    assert sizes == {1, 2, 3}
    assert task.verify(examples.inputs, examples.answers()).all()
    num_nodes = graphs.has_cause.sum(axis=1) + graphs.has_symptom.sum(axis=1)
    assert (num_nodes >= 8).all()
    assert (num_nodes <= 18).all()


def test_the_exact_solver_counts_as_trying_every_set_does_and_the_kernel_equals_plain_python() -> None:
    rng, task = np.random.default_rng(1), DiagnosisTask(SMALL)
    edges = rng.random((200, 9, 9)) < rng.random((200, 1, 1)) * 0.6
    graphs = Graphs(
        edges=edges,
        present=rng.random((200, 9)) < 0.7,
        has_cause=np.ones((200, 9), bool),
        has_symptom=np.ones((200, 9), bool),
    )
    named, sizes, counts = task.solved(graphs)
    kinds = set()
    for row in range(len(graphs)):
        found = explanations(graphs, row)
        kinds.add(min(len(found), 2))
        assert counts[row] == min(len(found), 2)
        assert sizes[row] == (len(found[0]) if found else -1)
        if found:
            assert frozenset(np.flatnonzero(named[row]).tolist()) in found
    assert kinds == {0, 1, 2}
    causes, present = graphs.sets()
    compiled, plain = np.zeros(200, np.int64), np.zeros(200, np.int64)
    np.testing.assert_array_equal(
        kernel.smallest_sets(causes, present, 4, compiled),
        kernel.smallest_sets.plain(causes, present, 4, plain),
    )
    np.testing.assert_array_equal(compiled, plain)
    np.testing.assert_array_equal(
        kernel.greedy_sets(causes, present), kernel.greedy_sets.plain(causes, present)
    )


def test_an_answer_with_one_cause_changed_is_wrong_and_other_cells_do_not_count() -> None:
    task = DiagnosisTask(SMALL)
    examples = task.sample(60, np.random.default_rng(2))
    answers = examples.answers()
    asked = examples.labels != IGNORED
    assert (asked == (examples.inputs == BLANK)).all()
    for row in range(len(examples)):
        cell = np.flatnonzero(asked[row])[row % asked[row].sum()]
        for symbol in (NAMED + CLEARED - answers[row, cell], BLANK, PAD):
            wrong = answers.copy()
            wrong[row, cell] = symbol
            is_right = task.verify(examples.inputs, wrong)
            assert not is_right[row]
            assert is_right.sum() == len(examples) - 1
    noisy = np.where(asked, answers, NAMED)
    assert task.verify(examples.inputs, noisy).all()
    np.testing.assert_array_equal(task.with_givens(examples.inputs, noisy), answers)
    scores = task.scores(examples, answers)
    assert (scores["explained"] == 1).all()
    assert (scores["causes"] == 1).all()


def test_a_puzzle_with_two_smallest_explanations_accepts_both() -> None:
    task = DiagnosisTask(SMALL)
    puzzle = task.encode("1:1,2 2:2,3 3:1,4 4:3,4 !1,2,3,4")[None]
    for named, is_right in (((0, 3), True), ((1, 2), True), ((0, 1, 2), False), ((0, 1), False)):
        members = np.isin(np.arange(9), named)[None]
        assert task.verify(puzzle, task.with_causes(puzzle, members))[0] == is_right


def test_a_graph_and_its_renamings_are_on_one_side() -> None:
    task = DiagnosisTask(SMALL)
    examples = task.sample(80, np.random.default_rng(5))
    keys = task.orbit_keys(examples.inputs)
    assert len(np.unique(keys)) > 70
    moved = task.transform(examples, np.random.default_rng(6))
    assert (moved.inputs != examples.inputs).any()
    np.testing.assert_array_equal(task.orbit_keys(moved.inputs), keys)
    assert task.verify(moved.inputs, moved.answers()).all()
    held_out = task.orbit_keys(task.held_out(40).inputs)
    assert not np.isin(task.orbit_keys(task.sample(500, np.random.default_rng(7)).inputs), held_out).any()


def test_the_text_form_returns_the_same_puzzle_and_answer() -> None:
    task = DiagnosisTask(SMALL)
    examples = task.sample(20, np.random.default_rng(8))
    for puzzle, answer in zip(examples.inputs, examples.answers()):
        np.testing.assert_array_equal(task.encode(task.decode(puzzle)), puzzle)
        names = [str(cause + 1) for cause in np.flatnonzero(task.causes_of(answer[None])[0])]
        assert task.decode(answer) == " ".join(names)
        assert task.render(answer) == f"causes: {', '.join(names)}"
    assert "ruled out, absent: 3" in task.render(task.encode("1:1,2 2:2,3 !1,2"))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "present symptoms last"),
        ("1:1,2", "present symptoms last"),
        ("1=2 !1", "CAUSE:SYMPTOM"),
        (f"1:{'9' * 5000} !1", "CAUSE:SYMPTOM"),
        (f"1:1 !{'9' * 5000}", "present symptoms last"),
        ("10:1 !1", "cause 10: unknown: give 1 to 9"),
        ("1:1,10 !1", "symptom 10: unknown"),
        ("1:1 1:2 !1", "cause 1 is given twice"),
        ("1:1,2 !1", "no set of up to 6 causes explains"),
    ],
)
def test_a_wrong_text_is_refused(text: str, part: str) -> None:
    with pytest.raises(InputError, match=part):
        DiagnosisTask(SMALL).encode(text)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"causes": [1, 61]}, "causes is 1 to 61"),
        ({"nodes": [61, 60]}, "nodes is 61 to 60: give 20 to 60"),
        ({"faults": [0, 3]}, "faults is 0 to 3"),
        ({"reach": [2, 11]}, "reach is 2 to 11"),
        ({"alike": 1.5}, "alike is 1.5"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, object], part: str) -> None:
    with pytest.raises(InputError, match=part):
        make_task("diagnosis", **options)


def test_full_graphs_have_thirty_to_sixty_nodes_and_greedy_names_too_many_in_some() -> None:
    task = DiagnosisTask(DiagnosisConfig(faults=(3, 3)))
    examples = task.sample(200, np.random.default_rng(9))
    graphs = task.graphs_of(examples.inputs)
    num_nodes = graphs.has_cause.sum(axis=1) + graphs.has_symptom.sum(axis=1)
    assert num_nodes.min() >= 30
    assert num_nodes.max() <= 60
    assert (task.causes_of(examples.answers()).sum(axis=1) == 3).all()
    baseline = task.baseline(examples.inputs)
    assert baseline.name == "greedy set cover"
    share = task.verify(examples.inputs, baseline.answers).mean()
    assert 0.5 < share < 0.95
