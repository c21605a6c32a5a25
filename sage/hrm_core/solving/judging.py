"""The task's own code around the rows of a batch: which answers the rules accept, and where its errors go.

Invariant: with `holds_faults` an error of the task ends the puzzle that it is raised for, and no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from sage.errors import pass_on
from sage.hrm_core.solving.job import Job
from sage.hrm_core.solving.row import Row
from sage.hrm_core.solving.rules import Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A row of the batch and the puzzle that it is for."""

    job: Job
    row: Row

    @property
    def is_needed(self) -> bool:
        return self.job.needs(self.row)


class Judging:
    """verifier: None: nothing is accepted.  holds_faults: an error settles its job, else it is raised."""

    def __init__(self, verifier: Verifier | None, *, holds_faults: bool) -> None:
        self._verifier = verifier
        self._holds_faults = holds_faults
        self._failed: list[Job] = []

    def take_failed(self) -> list[Job]:
        """The jobs that failed since the last call."""
        failed, self._failed = self._failed, []
        return failed

    @contextmanager
    def fault_of(self, job: Job) -> Iterator[None]:
        """Around the task's code for one puzzle."""
        try:
            yield
        except BaseException as error:  # around a plug-in
            pass_on(error)
            if not self._holds_faults:
                raise
            job.fail(error)
            self._failed.append(job)

    def completed(self, places: Sequence[Place], answers: np.ndarray) -> np.ndarray:
        """Answers (N, L) with the cells that the puzzles fix, of a task that has some (WithGivens)."""
        with_givens = getattr(self._verifier, "with_givens", None)
        if with_givens is None or not places:
            return answers
        puzzles = np.array([place.job.cells for place in places])
        found = answers.copy()
        try:
            found[:] = with_givens(puzzles, answers)
        except BaseException as error:  # around a plug-in
            pass_on(error)
            if not self._holds_faults:
                raise
            for index, place in enumerate(places):
                if place.job.fault is None:
                    with self.fault_of(place.job):
                        found[index] = with_givens(puzzles[index : index + 1], answers[index : index + 1])[0]
        return found

    def verified(self, places: Sequence[Place]) -> list[bool]:
        """Whether the rules accept the answers of the tries; the search judges its own."""
        is_verified = [False] * len(places)
        tries = [index for index, place in enumerate(places) if place.row.is_try]
        if self._verifier is None or not tries:
            return is_verified
        try:
            accepted = _accepted(self._verifier, [places[index] for index in tries])
        except BaseException as error:  # around a plug-in
            pass_on(error)
            if not self._holds_faults:
                raise
            accepted = [self._accepted_alone(self._verifier, places[index]) for index in tries]
        for index, each in zip(tries, accepted):
            is_verified[index] = each
        return is_verified

    def _accepted_alone(self, verifier: Verifier, place: Place) -> bool:
        is_accepted = False
        if place.job.fault is None:
            with self.fault_of(place.job):
                (is_accepted,) = _accepted(verifier, [place])
        return is_accepted


def _accepted(verifier: Verifier, tries: Sequence[Place]) -> list[bool]:
    cells = np.array([place.job.cells for place in tries])
    answers = np.array([place.row.answer for place in tries])
    return [bool(each) for each in verifier.verify(cells, answers)]
