"""What the workers of a sweep share: its trials in optuna's storage, and the folder of each worker.

Invariant: a trial has one worker; two workers that ask at once get different trials with different settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.app.config.file_lock import exclusive
from sage.app.models.training.space import Sweep
from sage.app.terminal.errors import UserError
from sage.durable import write_file

STUDY = "sweep"
#: Attributes: of a trial, the name of its worker; of a study, that every trial has one.
WORKER, HAS_WORKERS = "worker", "has_workers"
#: A trial that was drawn when the sweep had enough is given up in this state.
_SURPLUS = "PRUNED"
#: Of a database: two workers that open a new one at once both create its tables, and one of them fails.
OPENINGS, RACES = 8, ("already exists", "UNIQUE constraint", "duplicate key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """settings: recipe key -> value.  value: the metric, None where the trial failed.  reason: why.  worker:
    that trained it, "" in a sweep of an earlier version.
    """

    number: int
    settings: dict[str, Any]
    value: float | None
    reason: str = ""
    worker: str = ""


class Study:
    """A sweep's trials. storage: as in `run_sweep`."""

    def __init__(self, optuna: Any, sweep: Sweep, folder: Path, storage: str | None) -> None:
        self._optuna = optuna
        self._sweep = sweep
        self._study = optuna.create_study(
            study_name=STUDY if storage is None else study_name(sweep),
            storage=_storage(optuna, storage or str(folder / "journal.log")),
            direction="maximize",
            load_if_exists=True,
            sampler=self._sampler(0),
        )
        if not self._study.trials:
            self._study.set_user_attr(HAS_WORKERS, True)

    def next_trial(self, worker: str) -> tuple[int, dict[str, Any]] | None:
        """Number and settings of the worker's interrupted trial, or of a new one; None where the sweep has
        enough, ended or running.
        """
        own = self._interrupted(worker)
        if own is not None:
            if set(own.params) == set(self._sweep.search):
                return own.number, dict(own.params)
            self.record(own.number, None)  # killed while its settings were drawn
        if len(self._counted()) >= self._sweep.trials:
            return None
        trial = self._study.ask()
        trial.set_user_attr(WORKER, worker)
        if sum(each.number < trial.number for each in self._counted()) >= self._sweep.trials:
            self._study.tell(trial.number, state=self._optuna.trial.TrialState[_SURPLUS])
            return None
        # Seeded by the trial's number: a resumed sweep draws the same, and two workers do not.
        self._study.sampler = self._sampler(trial.number)
        for key, distribution in self._sweep.distributions().items():
            _draw(trial, key, distribution)
        return trial.number, dict(trial.params)

    def lacks_trials(self, worker: str) -> bool:
        """Whether `next_trial` has one for the worker."""
        return self._interrupted(worker) is not None or len(self._counted()) < self._sweep.trials

    def record(self, number: int, value: float | None) -> None:
        """The metric of a trial; None: it failed."""
        states = self._optuna.trial.TrialState
        self._study.tell(number, value, state=states.FAIL if value is None else states.COMPLETE)

    def ended(self) -> tuple[Trial, ...]:
        return tuple(
            Trial(
                number=trial.number,
                settings=dict(trial.params),
                value=trial.value,
                worker=trial.user_attrs.get(WORKER, ""),
            )
            for trial in self._counted()
            if trial.state.is_finished()
        )

    def num_running(self, worker: str) -> int:
        """Trials of other workers that have not ended."""
        return sum(
            not trial.state.is_finished() and trial.user_attrs.get(WORKER, "") != worker
            for trial in self._counted()
        )

    def _counted(self) -> list[Any]:
        return [trial for trial in self._study.get_trials(deepcopy=False) if trial.state.name != _SURPLUS]

    def _interrupted(self, worker: str) -> Any:
        """The worker's trial that was running when the worker ended; in a sweep of an earlier version, which
        had one process, any.
        """
        unnamed = None if self._study.user_attrs.get(HAS_WORKERS) else worker
        running = [trial for trial in self._counted() if trial.state.name == "RUNNING"]
        return next((each for each in running if each.user_attrs.get(WORKER, unnamed) == worker), None)

    def _sampler(self, number: int) -> Any:
        return self._optuna.samplers.TPESampler(
            seed=self._sweep.seed + number, n_startup_trials=min(10, max(2, self._sweep.trials // 3))
        )


def _draw(trial: Any, key: str, distribution: Any) -> None:
    kind = type(distribution).__name__
    if kind == "CategoricalDistribution":
        trial.suggest_categorical(key, distribution.choices)
        return
    suggest = trial.suggest_int if kind == "IntDistribution" else trial.suggest_float
    suggest(key, distribution.low, distribution.high, log=distribution.log)


def _storage(optuna: Any, storage: str, num_left: int = OPENINGS) -> Any:
    """An RDBStorage of a URL, else a journal in a file. UserError where it cannot be opened."""
    try:
        if "://" in storage:
            return optuna.storages.RDBStorage(storage)
        Path(storage).parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(storage))
    except Exception as error:  # a driver's own: its type is not known here
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if num_left > 1 and any(word in reason for word in RACES):
            return _storage(optuna, storage, num_left - 1)
        remedy = "give the URL of a database, or a file"
        raise UserError(f"--storage {storage}: {reason}: {remedy}") from error


def study_name(sweep: Sweep) -> str:
    """In a storage that may have other sweeps: of the settings, without the number of trials, so that equal
    files on several machines are one sweep.
    """
    plain = {key: value for key, value in sweep.to_plain().items() if key != "trials"}
    digest = hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=6)
    return f"{STUDY}-{digest.hexdigest()}"


@contextmanager
def one_process(folder: Path, worker: str) -> Iterator[None]:
    """While it is entered, no other process is this worker in this folder. UserError where one is."""
    if not worker.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise UserError(f"--worker {worker}: give letters, digits, dots, hyphens and underscores")
    refusal = f"--worker {worker}: another process trains under this name in {folder}: give another name"
    with exclusive(folder / f"worker-{worker}.lock", refusal):
        yield


def claim_folder(sweep: Sweep, folder: Path) -> None:
    """Write sweep.json. UserError where it has other settings; only the number of trials may change."""
    path, plain = folder / "sweep.json", sweep.to_plain()
    if path.is_file():
        before = json.loads(path.read_text())
        changed = [key for key in plain if key != "trials" and before.get(key) != plain[key]]
        if changed:
            raise UserError(
                f"--out {folder}: contains another sweep ({changed[0]} differs): give another folder"
            )
    elif folder.exists() and any(not each.name.startswith(".sweep") for each in folder.iterdir()):
        raise UserError(f"--out {folder}: not empty and not a sweep: give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(plain, indent=2) + "\n").encode())
