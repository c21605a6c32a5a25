"""Nights that `sage sleep` runs on a state directory between two sessions: the job that a session leaves for
one, and the accepted candidate that the next session takes.

A candidate is taken where it was made from the weights that the session begins with, those of the snapshot
or of `solving.weights`, bit for bit. Invariant: it is taken once; the first snapshot with its weights deletes
it. Any other candidate stays as it is, and an event says why.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import structlog
import torch

from sage.app.config.state_dir import SLEEP_NAME, SOLVING_NAME
from sage.app.session.snapshot_keeper import SnapshotKeeper
from sage.errors import SageError
from sage.hrm_core.model_family import weights_digest
from sage.hrm_core.observation.model import ObservationModel
from sage.runtime.loop import Loop
from sage.runtime.report import SleepOutcome
from sage.runtime.sleep import consolidate
from sage.runtime.sleep.puzzles.candidate import FILE, read_candidate
from sage.runtime.sleep.puzzles.folders import folder_of_levels
from sage.runtime.sleep.puzzles.process import job
from sage.runtime.sleep.sleeper import EndedNight
from sage.runtime.solving.solver import StreamSolver
from sage.runtime.tick.reasoner import load_observation_model

log = structlog.get_logger("sage.app")
OTHER_WEIGHTS = "it was made from other weights than those that this session begins with"
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, SageError)


class BatchNights:
    """Of one session. Made before its run opens: puzzle streams then have the weights of their candidates, so
    that their trainers begin with them. `take` comes before the first tick, once the run is observed.

    keeper: has loaded the snapshot; None: a replay, which takes nothing.
    """

    def __init__(self, loop: Loop, state_dir: Path, keeper: SnapshotKeeper | None) -> None:
        self._loop = loop
        self._keeper = keeper
        self._ended: list[EndedNight] = []
        self._used: list[Path] = []
        self._notes: list[str] = []
        if keeper is not None:
            for solver in loop.solving.solvers:
                self._find_puzzles(solver, state_dir / SOLVING_NAME / solver.name)
            for path in sorted((state_dir / SLEEP_NAME).glob(f"*/{consolidate.CANDIDATE}")):
                self._find_senses(path)

    def take(self) -> None:
        """The model of the senses gets its candidate's weights; events and reports of all nights."""
        for note in self._notes:
            log.info("night", outcome=note)
            self._loop.note("sleep", note)
        for ended in self._ended:
            self._loop.between_ticks.take(ended)
        if self._keeper is not None:
            self._keeper.delete_once_written(self._used)

    def _find_puzzles(self, solver: StreamSolver, folder: Path) -> None:
        names, tasks = zip(*((level.name, level.task) for level in solver.levels))
        folder = folder_of_levels(folder, names, tasks)
        place = f"{SOLVING_NAME}/{folder.name}"
        try:
            candidate = read_candidate(folder)
            if candidate.made_from != weights_digest(solver.family.weights()):
                self._leave(place, OTHER_WEIGHTS)
                return
            solver.family.load_weights(candidate.weights)
        except FileNotFoundError:
            if (folder / job.CANDIDATE).is_dir() and (folder / job.REPORT).is_file():
                self._leave(place, "an earlier version wrote it, without what it was made from")
            return
        except _UNREADABLE as error:
            self._leave(place, str(error))
            return
        report = dataclasses.replace(candidate.report, tick=0, stream=solver.name)
        self._begin_with(place, EndedNight(report=report, candidate=None))
        self._used += [folder / FILE, folder / job.REPORT]

    def _find_senses(self, path: Path) -> None:
        folder = path.parent
        place = f"{SLEEP_NAME}/{folder.name}"
        try:
            report = consolidate.read_report(folder / consolidate.REPORT)
            made_from = load_observation_model(folder / consolidate.MODEL)
            candidate = load_observation_model(path)
        except _UNREADABLE as error:
            self._leave(place, str(error))
            return
        model = self._loop.reasoner.model
        if report.outcome is not SleepOutcome.ACCEPTED:
            self._leave(place, f"the report says {report.outcome.value}")
        elif not _is_equal(made_from, model) or candidate.config != model.config:
            self._leave(place, OTHER_WEIGHTS)
        elif any(not ended.report.stream for ended in self._ended):
            self._leave(place, "that of another night is taken")
        else:
            report = dataclasses.replace(report, tick=0)
            self._begin_with(place, EndedNight(report=report, candidate=candidate))
            self._used += [path, folder / consolidate.REPORT]

    def _begin_with(self, place: str, ended: EndedNight) -> None:
        self._ended.append(ended)
        self._notes.append(f"the candidate of the night in {place} is taken")

    def _leave(self, place: str, reason: str) -> None:
        self._notes.append(f"the candidate of the night in {place} is left: {' '.join(reason.split())}")


def leave_night(loop: Loop, keeper: SnapshotKeeper) -> None:
    """After the last tick and its snapshot: write the job of the next night of the senses. A problem is
    logged.
    """
    if keeper.problem or not loop.tick_count:  # the next session does not begin with these weights
        return
    try:
        loop.between_ticks.leave_night(loop.tick_count)
    except (OSError, MemoryError, SageError) as error:
        log.warning("no job for `sage sleep` is written", error=str(error) or "not enough memory")


def _is_equal(one: ObservationModel, other: ObservationModel) -> bool:
    """Bit for bit, in names, shapes and values."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(tensor, second[name].to(tensor.device)) for name, tensor in first.items()
    )
