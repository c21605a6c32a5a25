"""The trainer's memory and weights on disk: a journal of experiences, and snapshots that replace it.

Layout of the folder:  experiences.journal  memory.safetensors  weights.safetensors
Invariant: an experience is acknowledged once its journal row is on the disk; opening the folder after a
kill -9 gives every acknowledged experience once. A night took place where its weights are on the disk: their
file states what it examined, and a snapshot of memory never has more.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sage.durable import Contents, DamagedFile, read_checked, remove_partials, set_aside, write_checked
from sage.errors import SageError
from sage.hrm_core.tasks.contract import Task
from sage.memory.stores.journal import Journal
from sage.memory.stores.journal_file import JournalContents, open_repaired, read_journal, restart_journal
from sage.memory.stores.journal_row import JournalRow, StoredRow, renumbered
from sage.runtime.sleep.puzzles.memory import OLD_TICK
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer
from sage.runtime.solving.learner import PuzzleExperience, SolutionSource

JOURNAL, MEMORY, WEIGHTS = "experiences.journal", "memory.safetensors", "weights.safetensors"
MEMORY_SCHEMA, WEIGHTS_SCHEMA = "puzzle_memory/1", "solver_weights/1"
#: Of experiences that `append_rest` writes at once.
REST_BYTES = 256 << 20
_STORE = "puzzles"
_SCALARS = ("number", "level", "num_segments", "num_calls", "tick", "episode")
_ARRAYS = ("cells", "answer", "solution")
_log = logging.getLogger(__name__)


class TrainerStore:
    """One folder, of one process at a time. run: a number that differs between runs of the loop, whose
    experiences are counted from 1 in each.  epoch_ns: wall time of the run's start, unix ns.

    In the trainer's memory the times are wall times.
    """

    def __init__(self, folder: Path, trainer: PuzzleTrainer, *, run: int, epoch_ns: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        remove_partials(folder)
        self._folder = folder
        self._trainer = trainer
        self._run = run
        self._epoch_ns = epoch_ns
        self._noted = 0
        self._pending: deque[tuple[int, int]] = deque()
        self._acknowledged = 0
        self._refused = 0
        applied = restore_memory(folder, trainer, run=run, may_rename=True)
        self._noted = self._acknowledged = applied.noted
        self._slept_at = trainer.slept_at  # of the weights on the disk
        self._journal = Journal(
            folder / JOURNAL,
            contents=_with_rows_of_others_aside(folder / JOURNAL, applied),
            start_after=max(applied.sequence, applied.contents.newest_sequence),
            may_open_later=True,
        )

    @property
    def noted(self) -> int:
        """Number of this run's newest experience in memory, 0 without one."""
        return self._noted

    @property
    def acknowledged(self) -> int:
        """Every experience of this run up to this number is on the disk."""
        while self._pending and self._pending[0][0] <= self._journal.acknowledged:
            self._acknowledged = self._pending.popleft()[1]
        return self._acknowledged

    @property
    def problem(self) -> str:
        return self._journal.problem

    def note(self, number: int, experience: PuzzleExperience) -> bool:
        """Add experience `number` of this run to the journal and the memory; False if it is there, or the
        journal has no room: then every later one is refused until it is in, since `acknowledged` counts
        without gaps. InputError, after it is in the journal, for one of another stream.
        """
        if number <= self._noted or (self._refused and number > self._refused):
            return False
        sequence = self._journal.append(_row(number, self._run, self._epoch_ns, experience))
        if not sequence:
            self._refused = number
            return False
        self._refused = 0
        self._pending.append((sequence, number))
        self._noted = number
        self._trainer.memory.note(replace(experience, time_ns=self._epoch_ns + experience.time_ns))
        return True

    def save_weights(self, weights: Mapping[str, Tensor]) -> None:
        """OSError where the disk is full: the file before stays."""
        trainer = self._trainer
        night = {"run": self._run, "slept_at": trainer.slept_at}
        save_weights(self._folder / WEIGHTS, weights, num_steps=trainer.num_steps, night=night)
        self._slept_at = trainer.slept_at

    def save_memory(self) -> None:
        """A snapshot; the journal's rows that it holds are then deleted. OSError where the disk is full."""
        applied = self._journal.last_sequence
        scalars = {
            "signature": signature_of(self._trainer),
            "applied": applied,
            "run": self._run,
            "noted": self._noted,
            "slept_at": self._slept_at,
            "num_nights": self._trainer.num_nights,
        }
        contents = Contents(arrays=self._trainer.memory.state(), scalars=scalars)
        write_checked(self._folder / MEMORY, contents, schema=MEMORY_SCHEMA)
        self._journal.prune(applied)
        self._pending.clear()
        self._acknowledged = self._noted

    def close(self) -> None:
        self._journal.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """sequence: of the newest journal row.  noted: number of the run's newest experience.  contents: of the
    journal after the snapshot.  others: sequences of those of its rows that are of other levels.
    """

    sequence: int
    noted: int
    contents: JournalContents
    others: frozenset[int] = frozenset()


def restore_memory(folder: Path, trainer: PuzzleTrainer, *, run: int, may_rename: bool = False) -> Applied:
    """Read what a TrainerStore wrote, without changing it, but with may_rename for a snapshot that is damaged
    or of other levels, which is renamed. Of one of other sizes, what fits is kept.

    InputError for a snapshot, JournalUnusable for a journal of a newer version.
    """
    sequence = noted = 0

    def leave_out(problem: str) -> None:
        kept = f"renamed to {set_aside(path, is_damaged=_is_damaged)}" if may_rename else "left out"
        _log.warning("%s: it is %s", problem, kept)

    path = folder / MEMORY
    try:
        contents = read_checked(path, schema=MEMORY_SCHEMA)
        scalars = contents.scalars
        if [each[:3] for each in scalars["signature"]] != levels_of(trainer.names, trainer.tasks):
            leave_out(f"{path} is of other levels")
        else:
            trainer.memory.load_state(contents.arrays)
            sequence = scalars["applied"]
            trainer.num_nights = scalars["num_nights"]
            if scalars["run"] == run:
                noted, trainer.slept_at = scalars["noted"], scalars["slept_at"]
            else:  # ticks are counted from 0 in each run
                trainer.memory.mark_old()
    except FileNotFoundError:
        pass
    except DamagedFile as error:
        leave_out(str(error))
    trainer.slept_at = max(trainer.slept_at, _slept_at(folder / WEIGHTS, run))
    journal = read_journal(folder / JOURNAL, after=sequence)
    if journal.num_damaged:
        _log.warning("%s: %d damaged rows are left out", folder / JOURNAL, journal.num_damaged)
    others = []
    for row in journal.rows:
        sequence = row.sequence
        experience = experience_of(row)
        if row.episode != run:
            experience = replace(experience, tick=OLD_TICK)
        try:
            trainer.memory.note(experience)
        except SageError:
            others.append(row.sequence)
        if row.episode == run:
            noted = row.id
    if others:
        _log.warning("%s: %d rows of other levels are left out", folder / JOURNAL, len(others))
    return Applied(sequence=sequence, noted=noted, contents=journal, others=frozenset(others))


def _slept_at(path: Path, run: int) -> int:
    """Of the weights, which may be of a night that ended just before a kill; -1 of another run's."""
    try:
        scalars = read_checked(path, schema=WEIGHTS_SCHEMA).scalars
    except (FileNotFoundError, DamagedFile):
        return -1
    return int(scalars["slept_at"]) if scalars.get("run") == run else -1


def _is_damaged(path: Path) -> bool:
    """False for a memory of other levels, which is whole."""
    try:
        read_checked(path, schema=MEMORY_SCHEMA)
    except DamagedFile:
        return True
    except SageError:
        return False
    return False


def _with_rows_of_others_aside(path: Path, applied: Applied) -> JournalContents:
    """The journal without the rows of other levels: a file with them is renamed first, since a snapshot
    deletes rows. JournalNotOpened on a full or read-only disk. A damaged file is repaired before: what is set
    aside for its rows is then whole, and is not deleted as damaged.
    """
    if not applied.others:
        return applied.contents
    if not applied.contents.is_intact:
        open_repaired(path, applied.contents).close()
    newest = applied.contents.newest_sequence
    kept = renumbered([row for row in applied.contents.rows if row.sequence not in applied.others], newest)
    aside = restart_journal(path, tuple(kept), newest_sequence=newest, keeps_old=True)
    _log.warning("%s: its rows of other levels are kept in %s", path, aside)
    return read_journal(path, after=newest - len(kept))


def append_rest(
    folder: Path, experiences: Sequence[tuple[int, PuzzleExperience]], *, run: int, epoch_ns: int
) -> int:
    """Write what a trainer that has ended did not: those of these numbered experiences of its run that are
    neither in the memory nor in the journal. Returns how many cannot be written.
    """
    if not experiences:
        return 0
    try:
        noted, newest, contents = _written(folder, run)
        rest = [each for each in experiences if each[0] > noted]
        journal = Journal(
            folder / JOURNAL, contents=contents, start_after=newest, max_queued_bytes=REST_BYTES
        )
    except (SageError, OSError) as error:
        _log.error("%s: %d experiences are not written: %s", folder, len(experiences), error)
        return len(experiences)
    with closing(journal):
        sequences = [journal.append(_row(number, run, epoch_ns, each)) for number, each in rest]
    num_lost = sum(not 0 < sequence <= journal.acknowledged for sequence in sequences)
    if num_lost:
        _log.error("%s: %d experiences are not written: %s", folder, num_lost, journal.problem)
    return num_lost


def _written(folder: Path, run: int) -> tuple[int, int, JournalContents]:
    """Number of the run's newest experience on the disk, the newest sequence in use, and the journal."""
    noted = applied = 0
    try:
        scalars = read_checked(folder / MEMORY, schema=MEMORY_SCHEMA).scalars
        applied = int(scalars["applied"])
        noted = int(scalars["noted"]) if scalars["run"] == run else 0
    except (FileNotFoundError, DamagedFile):
        pass
    contents = read_journal(folder / JOURNAL)
    noted = max([noted, *(row.id for row in contents.rows if row.episode == run)])
    return noted, max(applied, contents.newest_sequence), contents


def save_weights(
    path: Path, weights: Mapping[str, Tensor], *, num_steps: int, night: Mapping[str, int] | None = None
) -> None:
    """night: run and slept_at of the trainer's newest night."""
    arrays = {name: tensor.numpy() for name, tensor in weights.items()}
    scalars = {"num_steps": num_steps, **(night or {})}
    write_checked(path, Contents(arrays=arrays, scalars=scalars), schema=WEIGHTS_SCHEMA)


def load_weights(path: Path) -> tuple[dict[str, Tensor], int]:
    """The weights, and the optimizer steps before them. Errors as
    `sage.durable.read_checked`.
    """
    contents = read_checked(path, schema=WEIGHTS_SCHEMA)
    weights = {name: torch.from_numpy(np.array(array)) for name, array in contents.arrays.items()}
    return weights, int(contents.scalars["num_steps"])


def signature_of(trainer: PuzzleTrainer) -> list[list[object]]:
    """Levels, cells and capacities of a snapshot."""
    levels = levels_of(trainer.names, trainer.tasks)
    return [[*each, *level.capacities] for each, level in zip(levels, trainer.memory.levels)]


def levels_of(names: Sequence[str], tasks: Sequence[Task]) -> list[list[object]]:
    """What a snapshot must share with a trainer."""
    return [[name, task.spec.name, task.spec.seq_len] for name, task in zip(names, tasks)]


def _row(number: int, run: int, epoch_ns: int, experience: PuzzleExperience) -> JournalRow:
    confidence = experience.confidence
    scalars = {name: int(getattr(experience, name)) for name in _SCALARS} | {
        "source": int(experience.source),
        "is_right": bool(experience.is_right),
        "confidence": float(confidence) if math.isfinite(confidence) else None,
    }
    arrays = {name: getattr(experience, name) for name in _ARRAYS if getattr(experience, name) is not None}
    return JournalRow(
        store=_STORE,
        slot=-1,
        id=number,
        first_id=number,
        episode=run,
        first_episode=run,
        context=experience.level,
        epoch_ns=epoch_ns,
        time_ns=experience.time_ns,
        salience=0.0,
        trust=experience.trust,
        scalars=scalars,
        arrays=arrays,
    )


def experience_of(row: StoredRow) -> PuzzleExperience:
    """Of a row of the journal, with its wall time."""
    arrays = row.arrays
    scalars = row.scalars
    return PuzzleExperience(
        **{name: scalars.get(name, 0) for name in _SCALARS},
        time_ns=row.wall_ns,
        is_right=scalars["is_right"],
        confidence=math.nan if scalars["confidence"] is None else scalars["confidence"],
        cells=arrays["cells"],
        answer=arrays["answer"],
        solution=arrays.get("solution"),
        source=SolutionSource(scalars["source"]),
        trust=row.trust,
    )
