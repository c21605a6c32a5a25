"""From the nodes of a search to training rows.

Invariant: a true row's labels satisfy the rules of the task for that row; a dead row has no solution: in a
puzzle whose solution is unique it contradicts the solution that was found, otherwise the rules closed all
that follows it.
Shapes: N nodes, M rows, L cells.
"""

from __future__ import annotations

import numpy as np

from sage.hrm_core.from_search.episodes import DEAD, PUZZLE, TRUE, Episodes
from sage.hrm_core.solving.branching import Searchable
from sage.hrm_core.solving.search_record import SearchRecord
from sage.hrm_core.tasks.contract import IGNORED

#: Dead states kept of one puzzle. A search makes far more than it solves, and they resemble each other.
MAX_DEAD = 8


def episodes_of(
    task: Searchable,
    puzzle: np.ndarray,
    solution: np.ndarray | None,
    record: SearchRecord,
    *,
    number: int,
    calls: int,
    puzzle_id: int = -1,
    max_dead: int = MAX_DEAD,
) -> Episodes:
    """The rows of one searched puzzle (L,). solution (L,): accepted by the rules; None: not solved.

    number: of the puzzle in its source; it also seeds the draw of at most `max_dead` dead states.
    """
    states, is_dead = _states(task, puzzle, solution, record)
    dead = _drawn(np.flatnonzero(is_dead), max_dead, np.random.default_rng(number))
    true = np.flatnonzero(~is_dead) if solution is not None else np.zeros(0, np.int64)
    inputs = [states[dead]]
    labels = [np.full((len(dead), len(puzzle)), IGNORED, np.int32)]
    kinds = [DEAD] * len(dead)
    if solution is not None:
        inputs = [puzzle[None], states[true], *inputs]
        labels = [np.repeat(solution[None], 1 + len(true), axis=0), *labels]
        kinds = [PUZZLE, *[TRUE] * len(true), *kinds]
    num = len(kinds)
    return Episodes(
        inputs=np.concatenate(inputs).astype(np.int32),
        labels=np.concatenate(labels).astype(np.int32),
        puzzle_ids=np.full(num, puzzle_id, np.int32),
        kind=np.array(kinds, np.int8),
        puzzle=np.full(num, number, np.int64),
        calls=np.full(num, calls, np.int32),
    )


def _states(
    task: Searchable, puzzle: np.ndarray, solution: np.ndarray | None, record: SearchRecord
) -> tuple[np.ndarray, np.ndarray]:
    """(M, L) states in the form that a model reads, and (M,) whether they are dead; the others are true.

    Only states whose label is proved; a dead one only if the model read it, or its parent is true.
    """
    empty = np.zeros((0, len(puzzle)), np.int32), np.zeros(0, bool)
    if len(record) < 2:
        return empty
    partials, is_dead = record.partials, record.is_closed
    puzzles = np.repeat(puzzle[None], len(partials), axis=0)
    inputs = task.as_inputs(puzzles, partials).astype(np.int32)
    is_true = np.zeros(len(partials), bool)
    blank = task.spec.blank
    if solution is not None and blank is not None:
        agrees = ((partials == blank) | (partials == solution)).all(axis=1)
        is_true[agrees] = task.verify(inputs[agrees], np.repeat(solution[None], agrees.sum(), axis=0))
        if task.spec.is_unique:
            is_dead = ~agrees
    parents = record.parents
    is_met = record.is_read | is_true[parents] | (parents == 0)
    is_kept = (is_true | (is_dead & is_met)) & (parents >= 0)
    return inputs[is_kept], is_dead[is_kept]


def _drawn(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` of the rows, in their order."""
    if len(rows) <= most:
        return rows
    found: np.ndarray = np.sort(rng.choice(rows, size=most, replace=False))
    return found
