"""A trainer's folder as a job of its own: a night, or an examination, on what a run left there.

Layout of the folder: that of `store`, and job.json; a night adds report.json and, accepted, candidate/ and
candidate.safetensors (see `candidate`).
Invariant: the folder's memory and weights stay as they are; job.json has no code.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from sage.durable import checked_json, write_file
from sage.errors import InputError
from sage.hrm_core.evaluation.report import wilson_interval
from sage.hrm_core.model_family import ModelFamily, weights_digest
from sage.hrm_core.optim.ranks import Ranks
from sage.mailbox.shared.memory.identity import is_alive, my_identity
from sage.runtime.report import SleepOutcome, SleepReport, to_plain
from sage.runtime.sleep.puzzles.candidate import FILE, Candidate, write_candidate
from sage.runtime.sleep.puzzles.examination import Answers, ExaminedLevel, answers_of
from sage.runtime.sleep.puzzles.process.plan import JOB, TrainerSetup, read_job
from sage.runtime.sleep.puzzles.runs import last_run
from sage.runtime.sleep.puzzles.store import WEIGHTS, load_weights, restore_memory
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer

REPORT, CANDIDATE = "report.json", "candidate"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelShare:
    """Examined puzzles of one level: how many, the share solved, and its 95% interval (Wilson)."""

    level: str
    num: int
    solved: float
    low: float
    high: float


def is_solver_job(folder: Path) -> bool:
    """Whether its job.json is of a solving model; False where there is none, or of the observation model."""
    try:
        plain = json.loads((folder / JOB).read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(plain, dict) and str(plain.get("schema", "")).startswith("solver_job/")


def read_solver_job(folder: Path) -> TrainerSetup:
    """DataError for a file that is no job; InputError while its run goes on, or a task cannot be made."""
    job = read_job(folder)
    if is_alive(job.parent) and job.parent != my_identity():
        raise InputError(f"{folder}: a run uses it: stop the run first")
    return job.setup


def open_folder(folder: Path) -> PuzzleTrainer:
    """The trainer of a night; what an earlier night has left in the folder is removed.

    Errors as read_solver_job; FileNotFoundError where the weights are missing.
    """
    trainer = _restored(folder)
    # a kill leaves no candidate of an earlier night beside a report of this one
    if not Ranks.current().index:
        (folder / REPORT).unlink(missing_ok=True)
        (folder / FILE).unlink(missing_ok=True)
        if (folder / CANDIDATE).exists():
            shutil.rmtree(folder / CANDIDATE)
    return trainer


def sleep_on_folder(folder: Path, trainer: PuzzleTrainer, device: torch.device | str = "cpu") -> SleepReport:
    """One night on `device`; writes report.json last, and an accepted candidate as a model folder and as the
    file that the next run takes. Processes of torch.distributed run it together; the first of them writes.
    trainer: of `open_folder`.
    """
    ranks = Ranks.current()
    made_from = weights_digest(trainer.weights())
    trainer.begin_night(0, ranks=ranks, device=device)
    offer = None
    while offer is None:
        offer = trainer.advance_night()
    assert offer.report is not None
    if ranks.index:
        return offer.report
    if offer.report.outcome is SleepOutcome.ACCEPTED:
        assert offer.weights is not None
        family = ModelFamily(trainer.configs)
        family.load_weights(offer.weights)
        family[0].save_pretrained(folder / CANDIDATE)
        write_candidate(folder, Candidate(weights=offer.weights, made_from=made_from, report=offer.report))
    write_file(folder / REPORT, checked_json(to_plain(offer.report)))
    return offer.report


def examine(folder: Path) -> tuple[LevelShare, ...]:
    """The weights in the folder on its examined puzzles; nothing is written. Errors as open_folder."""
    trainer = _restored(folder)
    family = ModelFamily(trainer.configs)
    family.load_weights(trainer.weights())
    found = []
    for index, (name, task) in enumerate(zip(trainer.names, trainer.tasks)):
        level = ExaminedLevel.of(name, task, trainer.memory.levels[index].examined, -1)
        answers = next(
            each
            for each in answers_of(family[index], level.task, level.examples)
            if isinstance(each, Answers)
        )
        low, high = wilson_interval(answers.share, len(level))
        found.append(LevelShare(level=name, num=len(level), solved=answers.share, low=low, high=high))
    return tuple(found)


def sleep(folder: Path, trainer: PuzzleTrainer, device: torch.device | str = "cpu") -> SleepReport:
    """`sleep_on_folder` as a process of its own does it: one thread at nice 10."""
    torch.set_num_threads(1)
    os.nice(10)
    return sleep_on_folder(folder, trainer, device)


def _restored(folder: Path) -> PuzzleTrainer:
    """With the ticks and the last night of the run that left the folder: what came after it is new."""
    trainer = read_solver_job(folder).build()
    restore_memory(folder, trainer, run=last_run(folder))
    weights, num_steps = load_weights(folder / WEIGHTS)
    trainer.load(weights, num_steps=num_steps)
    return trainer
