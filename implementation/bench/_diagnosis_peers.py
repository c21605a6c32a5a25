"""Ways to name causes without HRM: the exact solver, greedy set cover, least squares and boosted trees.

The learned ones are told how many causes there are, which HRM is not: they name the highest scores.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sage.hrm_core.tasks.diagnosis import kernel
from sage.hrm_core.tasks.diagnosis.graphs import Graphs, as_members
from sage.hrm_core.tasks.diagnosis.task import DiagnosisTask

#: From graphs to causes (N, C) bool.
Namer = Callable[[Graphs], np.ndarray]
RIDGE = 10.0
TREES = {"max_iter": 40, "max_leaf_nodes": 15, "early_stopping": False}


def exact(task: DiagnosisTask) -> Namer:
    return lambda graphs: task.solved(graphs)[0]


def greedy(graphs: Graphs) -> np.ndarray:
    """See `kernel.greedy_sets`."""
    causes, present = graphs.sets()
    return as_members(kernel.greedy_sets(causes, present), causes.shape[1])


def bits_of(graphs: Graphs) -> np.ndarray:
    """(N, bits) float32: of each cause and symptom, an edge, and an edge to a present symptom; of each
    symptom, present; which causes and symptoms there are."""
    num = len(graphs)
    shown = graphs.edges & graphs.present[:, None, :]
    parts = (graphs.edges.reshape(num, -1), shown.reshape(num, -1), graphs.present, graphs.has_cause)
    return np.concatenate([*parts, graphs.has_symptom, np.ones((num, 1), bool)], axis=1).astype(np.float32)


def counts_of(graphs: Graphs) -> np.ndarray:
    """(N, C, 12) float32, of each cause: its symptoms, those present and absent, those that no other cause
    explains that is not ruled out; the fewest, mean and most such causes of its present symptoms; how many
    causes have all of its symptoms, and how many have none; of the graph: causes not ruled out, present
    symptoms, causes.
    """
    edges = graphs.edges.astype(np.float32)
    present = graphs.present[:, None, :]
    alive = (graphs.has_cause & ~graphs.is_ruled_out).astype(np.float32)
    rivals = (edges * alive[:, :, None]).sum(axis=1)  # (N, S)
    own, shown = edges.sum(axis=2), (edges * present).sum(axis=2)
    of_own = np.where(graphs.edges & present, rivals[:, None, :], np.nan)
    with np.errstate(all="ignore"):
        least = np.fmin.reduce(of_own, axis=2)
        most = np.fmax.reduce(of_own, axis=2)
        mean = np.nansum(of_own, axis=2) / np.maximum(shown, 1)
    only = (graphs.edges & present & (rivals == 1)[:, None, :]).sum(axis=2) * alive
    both = np.matmul(edges, edges.transpose(0, 2, 1)) * alive[:, None, :]
    holds = (both == own[:, :, None]).sum(axis=2)
    apart = ((both == 0) & (alive > 0)[:, None, :]).sum(axis=2)
    whole = [
        np.broadcast_to(each.sum(axis=1)[:, None], own.shape) for each in (alive, graphs.present, own > 0)
    ]
    columns = [own, shown, own - shown, only, least, mean, most, holds, apart, *whole]
    return np.nan_to_num(np.stack(columns, axis=2)).astype(np.float32)


def highest(scores: np.ndarray, graphs: Graphs, num_causes: int) -> np.ndarray:
    """(N, C) bool: the causes with the highest scores (N, C)."""
    order = np.where(graphs.has_cause, -scores, np.inf).argsort(axis=1).argsort(axis=1)
    found: np.ndarray = order < num_causes
    return found


def linear(graphs: Graphs, named: np.ndarray, num_causes: int) -> Namer:
    """Least squares from the bits of a graph to its causes."""
    bits = bits_of(graphs)
    gram = bits.T.dot(bits) + RIDGE * np.eye(bits.shape[1], dtype=np.float32)
    weights = np.linalg.solve(gram, bits.T.dot(named.astype(np.float32)))

    def name(others: Graphs) -> np.ndarray:
        return highest(bits_of(others).dot(weights), others, num_causes)

    return name


def trees_of_bits(graphs: Graphs, named: np.ndarray, num_causes: int) -> Namer:
    """Boosted trees on the bits of a graph, one classifier a cause."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    bits = bits_of(graphs).astype(np.uint8)
    models = {
        cause: HistGradientBoostingClassifier(**TREES).fit(bits, named[:, cause])
        for cause in range(named.shape[1])
        if 0 < named[:, cause].sum() < len(named)
    }

    def name(others: Graphs) -> np.ndarray:
        scores = np.zeros(others.has_cause.shape)
        bits = bits_of(others).astype(np.uint8)
        for cause, model in models.items():
            scores[:, cause] = model.predict_proba(bits)[:, 1]
        return highest(scores, others, num_causes)

    return name


def trees_of_counts(graphs: Graphs, named: np.ndarray, num_causes: int) -> Namer:
    """Boosted trees on `counts_of`, one classifier for all causes that are not ruled out."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    is_row = graphs.has_cause & ~graphs.is_ruled_out
    settings = {**TREES, "max_iter": 200}
    model = HistGradientBoostingClassifier(**settings).fit(counts_of(graphs)[is_row], named[is_row])

    def name(others: Graphs) -> np.ndarray:
        scores = np.full(others.has_cause.shape, -1.0)
        is_row = others.has_cause & ~others.is_ruled_out
        scores[is_row] = model.predict_proba(counts_of(others)[is_row])[:, 1]
        return highest(scores, others, num_causes)

    return name
