"""ARC scored as in the ARC Prize: every test is answered in many forms, votes select two attempts.

Invariant: votes are counted after each form is undone; a test without an attempt is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sage.errors import InputError
from sage.hrm_core.datasets.folder_task import FolderTask
from sage.hrm_core.datasets.layout import read_identifiers
from sage.hrm_core.evaluation.evaluate import run_segments
from sage.hrm_core.solving.engine import SegmentModel
from sage.hrm_core.tasks.arc.baselines import FAMILIES, attempts, attempts_together
from sage.hrm_core.tasks.arc.grid import NUM_COLOURS, Augmentation, grid_of
from sage.hrm_core.tasks.arc.source import ArcPuzzle, Pair
from sage.hrm_core.tasks.arc.task import ArcTask
from sage.hrm_core.tasks.arc.voting import Vote, best_attempts, score
from sage.hrm_core.tasks.contract import Examples, Task

#: A form's name in HRM's format (NAME_t3_0123456789) or TRM's (NAME|||t3|||0123456789).
_FORM_NAME = re.compile(
    rf"^(?P<puzzle>.+?)(?P<mark>_|\|\|\|)t(?P<turn>[0-7])(?P=mark)(?P<colours>0[1-9]{{{NUM_COLOURS - 1}}})$"
)

Attempts = Mapping[tuple[str, int], Sequence[np.ndarray]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """examples: tests in their forms.  forms: (puzzle, test, augmentation) of each example.  puzzles: the
    unaugmented puzzles, for the score.
    """

    examples: Examples
    forms: tuple[tuple[str, int, Augmentation], ...]
    puzzles: tuple[ArcPuzzle, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcScore:
    """Means over puzzles of the share of solved tests.  two_attempts: either attempt is right (ARC Prize).
    one_attempt: the first is.  unvoted: the answer to the unaugmented form is.  copied: the input is the
    output (baseline).  baselines: family of rules -> two attempts, and "together" (tasks/arc/baselines.py);
    empty where the demonstrations are not known.  attempts: (puzzle, test) -> grids, best first.
    """

    num_puzzles: int
    num_answers: int
    two_attempts: float
    one_attempt: float
    unvoted: float
    copied: float
    baselines: Mapping[str, float]
    attempts: Attempts
    puzzles: tuple[ArcPuzzle, ...]


def vote_arc(
    model: SegmentModel, task: Task, *, num_forms: int, num_segments: int = 16, batch_size: int = 64
) -> ArcScore:
    """Answer every test in `num_forms` forms, the unaugmented one included, and vote.

    InputError where the task is not ARC.
    """
    ballot = ballot_of(task, num_forms)
    trace = run_segments(model, ballot.examples, num_segments, batch_size=batch_size, is_last_only=True)
    votes = [
        Vote(puzzle=puzzle, test=test, augmentation=form, cells=cells, q=float(q))
        for (puzzle, test, form), cells, q in zip(ballot.forms, trace.answers[-1], trace.q_halt[-1])
    ]
    voted = best_attempts(votes)
    plain = best_attempts(vote for vote in votes if vote.augmentation == Augmentation())
    copies = {
        (puzzle.name, at): [pair.input] for puzzle in ballot.puzzles for at, pair in enumerate(puzzle.tests)
    }
    return ArcScore(
        num_puzzles=len(ballot.puzzles),
        num_answers=len(votes),
        two_attempts=score(voted, ballot.puzzles),
        one_attempt=score({test: grids[:1] for test, grids in voted.items()}, ballot.puzzles),
        unvoted=score(plain, ballot.puzzles),
        copied=score(copies, ballot.puzzles),
        baselines=_baselines(ballot.puzzles),
        attempts=voted,
        puzzles=ballot.puzzles,
    )


def _baselines(puzzles: Sequence[ArcPuzzle]) -> dict[str, float]:
    if not all(puzzle.demonstrations for puzzle in puzzles):
        return {}
    ways = {family: partial(attempts, family=family) for family in FAMILIES} | {"together": attempts_together}
    return {
        name: score({test: grids for puzzle in puzzles for test, grids in way(puzzle).items()}, puzzles)
        for name, way in ways.items()
    }


def ballot_of(task: Task, num_forms: int) -> Ballot:
    """The evaluation tests in their first `num_forms` forms."""
    if num_forms < 1:
        raise InputError(f"{num_forms} forms: give 1 (unaugmented) or more")
    if isinstance(task, ArcTask):
        return _of_puzzles(task, num_forms)
    if isinstance(task, FolderTask) and task.test.metadata.num_puzzle_identifiers > 1:
        return _of_folder(task, num_forms)
    raise InputError(
        f"task {task.spec.name} has no forms to vote over: voting is for arc, and for folders built of it"
    )


def _of_puzzles(task: ArcTask, num_forms: int) -> Ballot:
    if num_forms > task.config.num_aug + 1:
        raise InputError(
            f"{num_forms} forms: the model was trained on {task.config.num_aug + 1} of each puzzle: give no"
            " more"
        )
    first = len(task.training)
    forms = tuple(
        (puzzle.name, test, task.form(number, form))
        for number, puzzle in enumerate(task.evaluation, start=first)
        for test in range(len(puzzle.tests))
        for form in range(num_forms)
    )
    return Ballot(examples=task.forms_of_tests(num_forms), forms=forms, puzzles=task.evaluation)


def _of_folder(task: FolderTask, num_forms: int) -> Ballot:
    """Forms are parsed from the identifiers' names; the examples of a puzzle are its tests, in order."""
    side, names = task.test, read_identifiers(Path(task.config.path))
    rows: list[int] = []
    forms: list[tuple[str, int, Augmentation]] = []
    plain: dict[str, list[Pair]] = {}
    for first, end in zip(side.group_indices[:-1], side.group_indices[1:]):
        for puzzle in range(first, min(end, first + num_forms)):
            name, form = _parsed(names[int(side.puzzle_identifiers[puzzle])])
            for test, row in enumerate(range(side.puzzle_indices[puzzle], side.puzzle_indices[puzzle + 1])):
                rows.append(row)
                forms.append((name, test, form))
                if form == Augmentation():
                    pair = Pair(input=grid_of(side.inputs[row]), output=grid_of(side.labels[row]))
                    plain.setdefault(name, []).append(pair)
    examples = task.held_out(side.num_examples).take(np.array(rows, np.int64))
    puzzles = tuple(
        ArcPuzzle(name=name, demonstrations=(), tests=tuple(pairs)) for name, pairs in plain.items()
    )
    return Ballot(examples=examples, forms=tuple(forms), puzzles=puzzles)


def _parsed(name: str) -> tuple[str, Augmentation]:
    match = _FORM_NAME.match(name)
    if match is None:
        return name, Augmentation()
    colours = tuple(map(int, match["colours"]))
    return match["puzzle"], Augmentation(turn=int(match["turn"]), colours=colours)
