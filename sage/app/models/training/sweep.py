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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage.app.models.training.recipe import Recipe, find_recipe
from sage.app.models.training.space import Sweep
from sage.app.models.training.sweep_study import Study, Trial, claim_folder, one_process
from sage.app.terminal.errors import UserError

if TYPE_CHECKING:
    from sage.app.models.training.run import Trained


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
    UserError where the folder belongs to another sweep, or another process has the worker's name.
    """
    optuna = _optuna()
    claim_folder(sweep, folder)
    worker = worker or socket.gethostname()
    with one_process(folder, worker):
        study = Study(optuna, sweep, folder, storage)
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


def recipe_of(sweep: Sweep, settings: dict[str, Any]) -> Recipe:
    """The recipe with the sweep's fixed settings, then a trial's."""
    overrides = [f"{key}={json.dumps(value)}" for key, value in (*sweep.fixed.items(), *settings.items())]
    name, config = (
        (Path(sweep.recipe).stem, sweep.recipe) if sweep.recipe.endswith(".yaml") else (sweep.recipe, None)
    )
    return find_recipe(name, config, overrides)


def _train(sweep: Sweep, settings: dict[str, Any], folder: Path, device: str) -> tuple[Trained | None, str]:
    """The run; None and the reason where these settings are refused or diverge, which fails the trial
    alone.
    """
    from sage.app.models.training.run import TrainRequest, train
    from sage.hrm_core.training.errors import TrainingDiverged

    request = TrainRequest(
        recipe=recipe_of(sweep, settings),
        data=sweep.data,
        eval_data=sweep.eval_data,
        out=folder,
        resume=(folder / "checkpoints" / "last").is_file(),
        device=device,
        shows_progress=False,
    )
    try:
        return train(request), ""
    except (UserError, TrainingDiverged) as error:
        return None, str(error)


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
