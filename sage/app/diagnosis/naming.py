"""From present symptoms to named causes: a puzzle of the task `diagnosis`, answered by HRM in one pass and
checked by the exact solver.

Invariant: of what HRM answers only a smallest explanation is named; in its place the exact solver's stands,
and that is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from sage.app.diagnosis.causes import Cause, CauseGraph
from sage.hrm_core.tasks.diagnosis.config import MOST_FAULTS
from sage.hrm_core.tasks.diagnosis.graphs import Graphs
from sage.hrm_core.tasks.diagnosis.task import DiagnosisTask

#: Causes and symptoms of a puzzle, at least where the graph has so many: as in training.
USUAL = 12
#: Of a call of the model, none left out: one more than in training. `sage bench diagnosis` uses the same.
SEGMENTS = 3


class Answers(Protocol):
    """HRM, or what stands for it in a test."""

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Answers (1, L) to inputs (1, L), in one pass."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """causes: texts, in the graph's order; empty where nothing explains the symptoms.  is_agreed: HRM's
    answer is a smallest explanation.  is_unique: no other explanation is as small.  is_too_large: the puzzle
    did not fit the model, so that the exact solver alone answered.
    """

    symptoms: tuple[str, ...]
    causes: tuple[str, ...]
    is_agreed: bool = False
    is_unique: bool = False
    is_too_large: bool = False


class Namer:
    """answer: HRM's answers.  task: of the model's size."""

    def __init__(self, graph: CauseGraph, task: DiagnosisTask, answer: Answers) -> None:
        self._graph = graph
        self._task = task
        self._answer = answer

    def name(self, present: frozenset[str]) -> Diagnosis:
        """The causes of symptoms that are present. Takes a call of the model."""
        most = self._task.config.side - 1
        causes = _involved(self._graph.causes, present, most)
        symptoms = tuple(dict.fromkeys(each for cause in causes for each in sorted(cause.symptoms)))
        shown = tuple(sorted(present))
        is_too_large = len(causes) > most or len(symptoms) > most
        if is_too_large:
            causes = tuple(each for each in causes if each.symptoms <= present)
            symptoms = shown
        graphs = _as_graphs(causes, symptoms, present, max(most, len(causes), len(symptoms)))
        exact, sizes, counts = _solved(graphs)
        if sizes[0] < 0 or not present <= set(symptoms):
            return Diagnosis(symptoms=shown, causes=())
        named, is_agreed = exact, False
        if not is_too_large:
            inputs = self._task.puzzles_of(graphs)
            answers = self._task.with_givens(inputs, self._answer(inputs))
            answered = self._task.causes_of(answers) & graphs.has_cause
            is_agreed = bool(self._task.explains(graphs, answered)[0] and answered.sum() == sizes[0])
            named = answered if is_agreed else exact
        return Diagnosis(
            symptoms=shown,
            causes=tuple(cause.text for cause, is_named in zip(causes, named[0]) if is_named),
            is_agreed=is_agreed,
            is_unique=bool(counts[0] == 1),
            is_too_large=is_too_large,
        )


def _involved(causes: tuple[Cause, ...], present: frozenset[str], most: int) -> tuple[Cause, ...]:
    """Causes with a present symptom, those that the rule permits first and all of them; then others, in the
    graph's order, until a puzzle is of the usual size.
    """
    may_be = [each for each in causes if each.symptoms <= present]
    ruled_out = [each for each in causes if each.symptoms & present and not each.symptoms <= present]
    others = [each for each in causes if not each.symptoms & present]
    chosen = list(may_be)
    symptoms = {name for each in may_be for name in each.symptoms}
    for each in [*ruled_out, *others]:
        is_usual = len(chosen) >= USUAL and len(symptoms) >= USUAL
        if len(chosen) >= most or (is_usual and not each.symptoms & present):
            break
        if len(symptoms | each.symptoms) <= most:
            chosen.append(each)
            symptoms |= each.symptoms
    return tuple(each for each in causes if each in chosen)


def _as_graphs(
    causes: tuple[Cause, ...], symptoms: tuple[str, ...], present: frozenset[str], side: int
) -> Graphs:
    """One graph of `side` causes and symptoms, the last ones of them unused."""
    edges, is_present = np.zeros((1, side, side), bool), np.zeros((1, side), bool)
    place = {name: index for index, name in enumerate(symptoms)}
    for row, cause in enumerate(causes):
        edges[0, row, [place[each] for each in cause.symptoms]] = True
    is_present[0, [place[each] for each in present if each in place]] = True
    there = np.arange(side)[None]
    return Graphs(
        edges=edges, present=is_present, has_cause=there < len(causes), has_symptom=there < len(symptoms)
    )


def _solved(graphs: Graphs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `DiagnosisTask.solved` of one graph, of any size: the task's sets have 64 members at most, and its
    compiler would hold up the loop for seconds.
    """
    present = frozenset(np.flatnonzero(graphs.present[0]).tolist())
    all_causes = enumerate(frozenset(np.flatnonzero(row).tolist()) for row in graphs.edges[0])
    causes = {number: symptoms for number, symptoms in all_causes if symptoms and symptoms <= present}
    found: list[tuple[int, ...]] = []
    size = -1
    while not found and size < MOST_FAULTS:
        size += 1
        found = list(islice(_covers(causes, present, size, frozenset()), 2))
    named = np.zeros((1, graphs.edges.shape[1]), bool)
    named[0, list(found[0] if found else ())] = True
    return named, np.array([size if found else -1]), np.array([len(found)])


def _covers(
    causes: Mapping[int, frozenset[int]], left: frozenset[int], size: int, barred: frozenset[int]
) -> Iterator[tuple[int, ...]]:
    """Sets of `size` causes with all symptoms that are left, each set once: the first symptom is explained by
    each of its causes in turn, and one that was tried is not used any more.
    """
    if not left or not size:
        if not left and not size:
            yield ()
        return
    first = min(left)
    for number, symptoms in causes.items():
        if first in symptoms and number not in barred:
            for others in _covers(causes, left - symptoms, size - 1, barred):
                yield (number, *others)
            barred |= {number}


def load_answers(source: str) -> tuple[DiagnosisTask, Answers]:
    """The task and the answers of a model. InputError for a model of another task."""
    from sage.errors import InputError
    from sage.hrm_core.solving.published import load_published
    from sage.hrm_core.solving.solver import Solver

    published = load_published(source)
    task = published.task
    if not isinstance(task, DiagnosisTask):
        raise InputError(f"{source}: not a model of the task diagnosis: give one, such as diagnosis")
    solver = Solver(published.model)

    def answer(inputs: np.ndarray) -> np.ndarray:
        answers: np.ndarray = solver.solve(inputs, max_segments=SEGMENTS, halt="never", seed=0).answers
        return answers

    return task, answer
