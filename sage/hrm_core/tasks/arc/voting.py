"""Vote over the answers to augmented ARC tests: two attempts for each test, a score, a submission file.

Invariant: votes are counted on the grids of the original puzzle, after each augmentation is undone. Answers
are ranked by their number of votes, ties by the mean of sigmoid(q), as published (HRM, arc_eval.ipynb).
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage.durable import write_file
from sage.errors import DataError, InputError
from sage.hrm_core.tasks.arc.grid import Augmentation, grid_of
from sage.hrm_core.tasks.arc.source import ArcPuzzle, parse_grid
from sage.user_file import parse_user_json, read_user_text

NUM_ATTEMPTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One answer (900,) to the test number `test` of `puzzle` in the form `augmentation`.  q: the q_halt
    logit.
    """

    puzzle: str
    test: int
    augmentation: Augmentation
    cells: np.ndarray
    q: float


def best_attempts(
    votes: Iterable[Vote], num_attempts: int = NUM_ATTEMPTS
) -> dict[tuple[str, int], list[np.ndarray]]:
    """(puzzle, test) -> its grids, best first. Answers without a grid are not counted."""
    ballots: dict[tuple[str, int], dict[bytes, list[float]]] = defaultdict(lambda: defaultdict(list))
    grids: dict[bytes, np.ndarray] = {}
    for vote in votes:
        grid = grid_of(vote.cells, (0, 0))
        if not grid.size:
            continue
        grid = vote.augmentation.undone(grid)
        key = bytes(grid.shape) + grid.astype(np.uint8).tobytes()
        grids[key] = grid
        ballots[vote.puzzle, vote.test][key].append(_sigmoid(vote.q))

    def ranked(ballot: Mapping[bytes, list[float]]) -> list[bytes]:
        return sorted(ballot, key=lambda key: (-len(ballot[key]), -float(np.mean(ballot[key])), key))[
            :num_attempts
        ]

    return {test: [grids[key] for key in ranked(ballot)] for test, ballot in ballots.items()}


def _sigmoid(logit: float) -> float:
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    exponential = math.exp(logit)
    return exponential / (1.0 + exponential)


def score(attempts: Mapping[tuple[str, int], Sequence[np.ndarray]], puzzles: Sequence[ArcPuzzle]) -> float:
    """Mean over puzzles of the share of tests that an attempt solves exactly; a missing attempt is wrong."""
    if not puzzles:
        raise InputError("no puzzles to score: give an evaluation set")
    shares = [
        np.mean(
            [
                any(np.array_equal(grid, pair.output) for grid in attempts.get((puzzle.name, test), ()))
                for test, pair in enumerate(puzzle.tests)
            ]
        )
        for puzzle in puzzles
    ]
    return float(np.mean(shares))


def write_submission(
    path: Path, attempts: Mapping[tuple[str, int], Sequence[np.ndarray]], puzzles: Sequence[ArcPuzzle]
) -> None:
    """Write Kaggle's submission file: every test of every puzzle, [[0]] where there is no attempt."""
    none = np.zeros((1, 1), np.int32)
    rows = {}
    for puzzle in puzzles:
        found = [
            list(attempts.get((puzzle.name, test), ())) + [none] * NUM_ATTEMPTS
            for test in range(len(puzzle.tests))
        ]
        rows[puzzle.name] = [
            {f"attempt_{at + 1}": grids[at].tolist() for at in range(NUM_ATTEMPTS)} for grids in found
        ]
    write_file(path, json.dumps(rows).encode())


def load_submission(path: Path) -> dict[tuple[str, int], list[np.ndarray]]:
    """Read a submission file. DataError where it is not one."""
    try:
        rows = parse_user_json(read_user_text(path))
        return {
            (name, test): [parse_grid(each[f"attempt_{at + 1}"]) for at in range(NUM_ATTEMPTS)]
            for name, tests in rows.items()
            for test, each in enumerate(tests)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f'{path}: not a submission: {error!r}: give {{"puzzle": [{{"attempt_1", "attempt_2"}}]}}'
        ) from error
