"""Diagnosis: the smallest set of causes that explains all symptoms of a graph.

The rule: a cause makes all of its symptoms appear, so a cause with an absent symptom is ruled out; an
explanation is a set of causes, none of them ruled out, of which every present symptom has one. An answer is
right where it is an explanation and no explanation has fewer causes. The graph is a part of the puzzle.

Invariant: an answer is judged by the rule and by the exact solver's size, never by labels; each generated
puzzle has one smallest explanation. Cells are a square: see `graphs`. A row states all about a cause, a
column all about a symptom, so that a model that reads both needs no order of either.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import IGNORED, Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.diagnosis.config import MOST_FAULTS, DiagnosisConfig
from sage.hrm_core.tasks.diagnosis.graphs import (
    BLANK,
    CLEARED,
    NAMED,
    NUM_SYMBOLS,
    Graphs,
    as_members,
    cells_of,
    draw_graphs,
    graphs_of,
    orbit_keys_of,
    renamed,
)
from sage.hrm_core.tasks.diagnosis.text import draw_graph, read_graph, write_graph
from sage.hrm_core.tasks.split import Generated, are_held_out, without_ids


class DiagnosisTask(Generated):
    """Random graphs, kept where there is one smallest explanation."""

    def __init__(self, config: DiagnosisConfig | None = None) -> None:
        super().__init__()
        self.config = config or DiagnosisConfig()

    @property
    def spec(self) -> TaskSpec:
        side = self.config.side
        return TaskSpec(
            name="diagnosis", vocab_size=NUM_SYMBOLS, seq_len=side**2, grid=(side, side), blank=BLANK
        )

    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        graphs, named = draw_graphs(self.config, num, rng)
        is_kept = are_held_out(orbit_keys_of(graphs)) == is_held_out
        return self.answered(graphs.take(is_kept), named[is_kept])

    def answered(self, graphs: Graphs, named: np.ndarray) -> Examples:
        """Puzzles with explanations named (N, C) bool."""
        inputs = self.puzzles_of(graphs)
        return without_ids(inputs, np.where(inputs == BLANK, self.with_causes(inputs, named), IGNORED))

    def puzzles_of(self, graphs: Graphs) -> np.ndarray:
        """(N, L) int32."""
        return cells_of(graphs, self.config.side).reshape(-1, self.spec.seq_len)

    def graphs_of(self, inputs: np.ndarray) -> Graphs:
        """The reverse of `puzzles_of`."""
        return graphs_of(self._squares(inputs))

    def with_causes(self, inputs: np.ndarray, named: np.ndarray) -> np.ndarray:
        """(N, L) int32: puzzles with each cause named, or cleared; named (N, C) bool."""
        squares = self._squares(inputs).astype(np.int32)
        column = squares[:, 1 : named.shape[1] + 1, 0]
        column[:] = np.where(column == BLANK, np.where(named, NAMED, CLEARED), column)
        return squares.reshape(inputs.shape)

    def causes_of(self, answers: np.ndarray) -> np.ndarray:
        """(N, R - 1) bool: the causes that answers (N, L) name."""
        found: np.ndarray = self._squares(answers)[:, 1:, 0] == NAMED
        return found

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """A smallest explanation, by the rule: see this module's text. Cells of no cause do not count."""
        graphs, named = self.graphs_of(inputs), self.causes_of(answers)
        is_blank = inputs == BLANK
        is_decided = (np.isin(answers, (CLEARED, NAMED)) | ~is_blank).all(axis=1)
        named = named & graphs.has_cause
        is_right = is_decided & self.explains(graphs, named) & (named.sum(axis=1) == self.num_causes(graphs))
        found: np.ndarray = is_right
        return found

    def explains(self, graphs: Graphs, named: np.ndarray) -> np.ndarray:
        """(N,) bool: none of named (N, C) is ruled out, and each present symptom is of one of them."""
        shown = (graphs.edges & named[:, :, None]).any(axis=1)
        found: np.ndarray = ~(named & graphs.is_ruled_out).any(axis=1) & ~(graphs.present & ~shown).any(
            axis=1
        )
        return found

    def num_causes(self, graphs: Graphs) -> np.ndarray:
        """(N,) causes of the smallest explanation by the exact solver, -1 for none of up to MOST_FAULTS."""
        return self.solved(graphs)[1]

    def solved(self, graphs: Graphs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The exact solver: causes (N, C) bool of a smallest explanation, their number (N,), -1 for none of
        up to MOST_FAULTS, and how many explanations are that small (N,), up to two."""
        from sage.hrm_core.tasks.diagnosis import kernel

        causes, present = graphs.sets()
        found = np.zeros(len(causes), np.int64)
        sizes = kernel.smallest_sets(causes, present, MOST_FAULTS, found)
        return as_members(found, causes.shape[1]), sizes[:, 0], sizes[:, 1]

    def scores(self, examples: Examples, answers: np.ndarray) -> dict[str, np.ndarray]:
        """explained: every symptom is explained and no cause is ruled out, whatever the number of causes.
        causes: the share of causes that are rightly named or cleared."""
        graphs, named = self.graphs_of(examples.inputs), self.causes_of(answers)
        is_cell = examples.labels != IGNORED
        same = ((answers == examples.labels) & is_cell).sum(axis=1)
        return {
            "explained": self.explains(graphs, named & graphs.has_cause).astype(np.float64),
            "causes": same / np.maximum(is_cell.sum(axis=1), 1),
        }

    def with_givens(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N, L) int32: the causes of answers, and the rest of the graphs."""
        return np.where(inputs == BLANK, answers, inputs).astype(np.int32)

    def may_extend(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """False where a cause that is ruled out is named, where all causes of a present symptom are cleared,
        and where more causes are named than the exact solver's smallest explanation has."""
        graphs = self.graphs_of(inputs)
        is_blank = inputs == BLANK
        is_choice = np.isin(partial, (BLANK, CLEARED, NAMED))
        is_kept = np.where(is_blank, is_choice, partial == inputs).all(axis=1)
        named = self.causes_of(partial) & graphs.has_cause
        may_be = graphs.has_cause & (self._squares(partial)[:, 1:, 0] != CLEARED)
        is_open = (graphs.edges & may_be[:, :, None]).any(axis=1)
        is_breach = (named & graphs.is_ruled_out).any(axis=1) | (graphs.present & ~is_open).any(axis=1)
        found: np.ndarray = is_kept & ~is_breach & (named.sum(axis=1) <= self.num_causes(graphs))
        return found

    def as_inputs(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """The graph without the causes that are decided, and without the symptoms of those that are named."""
        graphs, column = self.graphs_of(inputs), self._squares(partial)[:, 1:, 0]
        is_open = graphs.has_cause & (column == BLANK)
        shown = (graphs.edges & (column == NAMED)[:, :, None]).any(axis=1)
        is_left = graphs.has_symptom & ~shown
        rest = Graphs(
            edges=graphs.edges & is_open[:, :, None] & is_left[:, None, :],
            present=graphs.present & is_left,
            has_cause=is_open,
            has_symptom=is_left,
        )
        return self.puzzles_of(rest)

    def complete(self, inputs: np.ndarray, partial: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """The choices, and of the other causes what the answer has."""
        return np.where((inputs == BLANK) & (partial == BLANK), answers, partial).astype(np.int32)

    def transform(self, examples: Examples, rng: np.random.Generator) -> Examples:
        """Causes and symptoms in another order."""
        graphs, named = self.graphs_of(examples.inputs), self.causes_of(examples.answers())
        shape = (len(graphs), self.config.side - 1)
        causes, symptoms = rng.random(shape).argsort(axis=1), rng.random(shape).argsort(axis=1)
        return self.answered(renamed(graphs, causes, symptoms), np.take_along_axis(named, causes, axis=1))

    def orbit_keys(self, inputs: np.ndarray) -> np.ndarray:
        """(N,) uint64: equal for a graph and its renamings."""
        return orbit_keys_of(self.graphs_of(inputs))

    def baseline(self, inputs: np.ndarray) -> Baseline:
        """See `kernel.greedy_sets`."""
        from sage.hrm_core.tasks.diagnosis import kernel

        causes, present = self.graphs_of(inputs).sets()
        named = as_members(kernel.greedy_sets(causes, present), causes.shape[1])
        return Baseline(name="greedy set cover", answers=self.with_causes(inputs, named))

    def encode(self, text: str) -> np.ndarray:
        """See `text`. InputError for a graph that has no explanation."""
        graphs = read_graph(text, self.config)
        if self.num_causes(graphs)[0] < 0:
            raise InputError(
                f"{text.strip()!r}: no set of up to {MOST_FAULTS} causes explains the symptoms: give another"
                " graph"
            )
        puzzle: np.ndarray = self.puzzles_of(graphs)[0]
        return puzzle

    def decode(self, cells: np.ndarray) -> str:
        """The graph of a puzzle, the causes of an answer."""
        squares = self._squares(np.asarray(cells)[None])
        if np.isin(squares[:, 1:, 0], (CLEARED, NAMED)).any():
            return " ".join(str(cause + 1) for cause in np.flatnonzero(squares[0, 1:, 0] == NAMED))
        return write_graph(graphs_of(squares))

    def render(self, cells: np.ndarray) -> str:
        """A line a cause, or the causes of an answer."""
        squares = self._squares(np.asarray(cells)[None])
        if np.isin(squares[:, 1:, 0], (CLEARED, NAMED)).any():
            named = [str(cause + 1) for cause in np.flatnonzero(squares[0, 1:, 0] == NAMED)]
            return f"causes: {', '.join(named) or 'none'}"
        return draw_graph(graphs_of(squares))

    def _squares(self, cells: np.ndarray) -> np.ndarray:
        """(N, R, R) view."""
        return cells.reshape(-1, self.config.side, self.config.side)
