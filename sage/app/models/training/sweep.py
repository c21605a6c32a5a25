"""`sage sweep`: one recipe trained many times; each trial's settings are chosen from the results of earlier
trials.

Bayesian (TPE, Bergstra et al. 2011) by optuna. Layout of a sweep:  sweep.json  journal.log  trial-0000/ (a
run)  ...
Several processes, on several machines, share one sweep through optuna's storage: each is a worker with a
name. Invariant: folder and storage are the whole state of the sweep: it can be interrupted anywhere and
resumed; an interrupted trial resumes from its own checkpoint with its own settings, by the worker that had
it, and by no other.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage.app.models.training.space import Sweep, recipe_of
from sage.app.models.training.sweep_study import Study, Trial, claim_folder, one_process
from sage.app.terminal.errors import UserError, is_out_of_memory

if TYPE_CHECKING:
    from sage.app.models.training.run import Trained, TrainRequest

#: Settings that are tried before the first trial, where training refuses those before.
NUM_PROBES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """trials: in order, of all workers.  num_running: trials of other workers that have not ended.
    is_interrupted: by the signal of that number; the sweep can be resumed.
    """

    folder: Path
    metric: str
    trials: tuple[Trial, ...]
    is_interrupted: bool
    num_running: int = 0
    signal: int | None = None

    @property
    def best(self) -> Trial | None:
        done = [trial for trial in self.trials if trial.value is not None]
        return max(done, key=lambda trial: trial.value or 0.0, default=None)


def run_sweep(
    sweep: Sweep,
    folder: Path,
    *,
    device: str = "auto",
    on_trial: Callable[[Trial], None] = lambda _: None,
    storage: str | None = None,
    worker: str = "",
) -> Swept:
    """Train the trials that are missing and that no other worker trains.

    storage: a URL that SQLAlchemy reads, or a file on a disk that all machines share; None: a file in
    `folder`, which then is what the workers share.  worker: this process's name; "": the name of the host.
    UserError where the folder belongs to another sweep, another process has the worker's name, or training
    refuses the whole space.
    """
    optuna = _optuna()
    is_new = not (folder / "sweep.json").is_file()
    if is_new:
        check_space(sweep, device)
    claim_folder(sweep, folder)
    worker = worker or socket.gethostname()
    with one_process(folder, worker):
        study = Study(optuna, sweep, folder, storage)
        if not is_new and study.lacks_trials(worker):
            check_space(sweep, device)
        is_interrupted, trained = False, None
        while not is_interrupted and (drawn := study.next_trial(worker)) is not None:
            number, settings = drawn
            trained, reason = _train(sweep, settings, folder / f"trial-{number:04d}", device)
            is_interrupted = trained is not None and trained.result.is_interrupted
            if not is_interrupted:
                value = None if trained is None else _measure(trained, sweep.metric)
                study.record(number, value)
                on_trial(Trial(number=number, settings=settings, value=value, reason=reason, worker=worker))
        return Swept(
            folder=folder,
            metric=sweep.metric,
            trials=study.ended(),
            is_interrupted=is_interrupted,
            num_running=study.num_running(worker),
            signal=trained.result.signal if is_interrupted and trained is not None else None,
        )


def check_space(sweep: Sweep, device: str) -> None:
    """UserError where training would refuse every setting of the space; of those that are tried, the first
    error. Nothing is trained or written.
    """
    refusals = []
    for settings in sweep.probes(NUM_PROBES):
        refusal = _refusal(sweep, settings, device)
        if refusal is None:
            return
        refusals.append(refusal)
    raise refusals[0]


def _refusal(sweep: Sweep, settings: dict[str, Any], device: str) -> UserError | None:
    from sage.app.models.training.run import check

    try:
        check(_request(sweep, settings, device))
    except UserError as error:
        return error
    return None


def _request(sweep: Sweep, settings: dict[str, Any], device: str) -> TrainRequest:
    from sage.app.models.training.run import TrainRequest

    return TrainRequest(
        recipe=recipe_of(sweep, settings),
        data=sweep.data,
        eval_data=sweep.eval_data,
        device=device,
        shows_progress=False,
    )


def _train(sweep: Sweep, settings: dict[str, Any], folder: Path, device: str) -> tuple[Trained | None, str]:
    """The run; None and the reason where these settings are refused, diverge or need too much memory, which
    fails the trial alone.
    """
    from sage.app.models.training.run import train
    from sage.hrm_core.training.errors import TrainingDiverged

    resumes = (folder / "checkpoints" / "last").is_file()
    try:
        return train(replace(_request(sweep, settings, device), out=folder, resume=resumes)), ""
    except (UserError, TrainingDiverged) as error:
        return None, str(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None, "not enough memory"


def _measure(trained: Trained, metric: str) -> float | None:
    """The metric of the trial's best model, at the greatest depth."""
    card = json.loads((trained.folder / "model" / "task.json").read_text())
    report = card["trained"]["eval"]
    return None if report is None else float(report["depths"][-1][metric] or 0.0)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UserError("sweep: optuna is not installed: pip install 'sage-runtime[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
