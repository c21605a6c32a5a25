"""Graphs of causes and symptoms as arrays: drawn at random, written as cells, named anew.

Shapes: N graphs, C causes, S symptoms, of the largest graph; R rows and columns of a square of cells.
Invariant: a cause or a symptom that a graph does not have has no edge.
Cells: 0 pad, 1 blank (a cause, still to be named or cleared), 2 symptom absent, 3 symptom present; of a cause
and a symptom 4 no edge, absent, 5 no edge, present, 6 edge, absent, 7 edge, present; in an answer 8 cleared,
9 named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.hrm_core.tasks.diagnosis.config import DiagnosisConfig
from sage.hrm_core.tasks.loops import chance_from
from sage.hrm_core.tasks.split import mixed

PAD, BLANK, ABSENT, PRESENT, PAIR, CLEARED, NAMED = 0, 1, 2, 3, 4, 8, 9
NUM_SYMBOLS = 10
EDGE = 2
NUM_COLOUR_ROUNDS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graphs:
    """edges (N, C, S) bool: this cause makes this symptom appear.  present (N, S) bool: of symptoms.
    has_cause (N, C), has_symptom (N, S) bool: which ones a graph has."""

    edges: np.ndarray
    present: np.ndarray
    has_cause: np.ndarray
    has_symptom: np.ndarray

    def __len__(self) -> int:
        return len(self.edges)

    def take(self, rows: np.ndarray) -> Graphs:
        return Graphs(
            edges=self.edges[rows],
            present=self.present[rows],
            has_cause=self.has_cause[rows],
            has_symptom=self.has_symptom[rows],
        )

    def sets(self) -> tuple[np.ndarray, np.ndarray]:
        """causes (N, C), present (N,) int64, as `kernel` takes them."""
        return as_sets(self.edges), as_sets(self.present)

    @property
    def is_ruled_out(self) -> np.ndarray:
        """(N, C) bool: a cause with an absent symptom."""
        found: np.ndarray = (self.edges & ~self.present[:, None, :]).any(axis=2)
        return found


def as_sets(members: np.ndarray) -> np.ndarray:
    """int64 sets, bit i for member i, from (..., members) bool."""
    found: np.ndarray = (members.astype(np.int64) << np.arange(members.shape[-1])).sum(axis=-1)
    return found


def as_members(sets: np.ndarray, num: int) -> np.ndarray:
    """The reverse of `as_sets`: (..., num) bool."""
    found: np.ndarray = sets[..., None] >> np.arange(num) & 1 > 0
    return found


def draw_graphs(config: DiagnosisConfig, num: int, rng: np.random.Generator) -> tuple[Graphs, np.ndarray]:
    """Graphs with their smallest explanations (N, C) bool: of `num` drawn those that have one smallest
    explanation, of as many causes as were made faults."""
    from sage.hrm_core.tasks.diagnosis import kernel

    limits = np.array(
        [config.causes, config.symptoms, config.nodes, config.faults, config.reach], dtype=np.int64
    )
    causes = np.zeros((num, config.causes[1]), np.int64)
    drawn = kernel.draw_graphs(
        chance_from(rng), limits, round(1000 * config.alike), causes, np.zeros(causes.shape[1], np.int64)
    )
    named = np.zeros(num, np.int64)
    sizes = kernel.smallest_sets(causes, np.ascontiguousarray(drawn[:, 0]), config.faults[1], named)
    is_kept = (sizes[:, 1] == 1) & (sizes[:, 0] == drawn[:, 1])
    edges = as_members(causes, config.symptoms[1])
    graphs = Graphs(
        edges=edges,
        present=as_members(drawn[:, 0], config.symptoms[1]),
        has_cause=causes > 0,
        has_symptom=np.asarray(edges.any(axis=1)),
    )
    num_nodes = graphs.has_cause.sum(axis=1) + graphs.has_symptom.sum(axis=1)
    is_kept &= (num_nodes >= config.nodes[0]) & (graphs.has_symptom.sum(axis=1) >= config.symptoms[0])
    return graphs.take(is_kept), as_members(named[is_kept], config.causes[1])


def cells_of(graphs: Graphs, side: int) -> np.ndarray:
    """(N, R, R) int32: causes in rows, symptoms in columns; row 0 holds the states of the symptoms, column 0
    is blank where there is a cause."""
    num, num_causes, num_symptoms = graphs.edges.shape
    cells = np.zeros((num, side, side), np.int32)
    cells[:, 1 : num_causes + 1, 0] = np.where(graphs.has_cause, BLANK, PAD)
    states = np.where(graphs.present, PRESENT, ABSENT)
    cells[:, 0, 1 : num_symptoms + 1] = np.where(graphs.has_symptom, states, PAD)
    pairs = PAIR + EDGE * graphs.edges + graphs.present[:, None, :]
    is_pair = graphs.has_cause[:, :, None] & graphs.has_symptom[:, None, :]
    cells[:, 1 : num_causes + 1, 1 : num_symptoms + 1] = np.where(is_pair, pairs, PAD)
    return cells


def graphs_of(cells: np.ndarray) -> Graphs:
    """The reverse of `cells_of`: of squares (N, R, R), with C = S = R - 1."""
    pairs = cells[:, 1:, 1:]
    return Graphs(
        edges=(pairs >= PAIR + EDGE) & (pairs < CLEARED),
        present=cells[:, 0, 1:] == PRESENT,
        has_cause=cells[:, 1:, 0] != PAD,
        has_symptom=cells[:, 0, 1:] != PAD,
    )


def renamed(graphs: Graphs, causes: np.ndarray, symptoms: np.ndarray) -> Graphs:
    """causes (N, C), symptoms (N, S): which old one stands at each place."""
    edges = np.take_along_axis(graphs.edges, causes[:, :, None], axis=1)
    return Graphs(
        edges=np.take_along_axis(edges, symptoms[:, None, :], axis=2),
        present=np.take_along_axis(graphs.present, symptoms, axis=1),
        has_cause=np.take_along_axis(graphs.has_cause, causes, axis=1),
        has_symptom=np.take_along_axis(graphs.has_symptom, symptoms, axis=1),
    )


def orbit_keys_of(graphs: Graphs) -> np.ndarray:
    """(N,) uint64: equal where naming causes and symptoms anew takes one graph to another.

    Both take colours, mixed in each round with those of their neighbours (Weisfeiler and Leman 1968). Graphs
    that are no renamings of each other can share a key, which is rare.
    """
    causes = mixed(graphs.has_cause.astype(np.uint64))
    symptoms = mixed(2 + 2 * graphs.has_symptom.astype(np.uint64) + graphs.present.astype(np.uint64))
    for _ in range(NUM_COLOUR_ROUNDS):
        of_symptoms = np.where(graphs.edges, mixed(symptoms)[:, None, :], np.uint64(0))
        causes = mixed(mixed(causes) + of_symptoms.sum(axis=2, dtype=np.uint64))
        of_causes = np.where(graphs.edges, mixed(causes)[:, :, None], np.uint64(0))
        symptoms = mixed(mixed(symptoms) + of_causes.sum(axis=1, dtype=np.uint64))
    there = np.where(graphs.has_cause, causes, np.uint64(0)).sum(axis=1, dtype=np.uint64)
    there += np.where(graphs.has_symptom, symptoms, np.uint64(0)).sum(axis=1, dtype=np.uint64)
    keys: np.ndarray = mixed(there)
    return keys
