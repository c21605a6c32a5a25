"""`sage sweep`: one recipe trained many times; each trial's settings are chosen from the results of earlier
trials.

Bayesian (TPE, Bergstra et al. 2011) by optuna. Layout of a sweep:  sweep.json  journal.log  trial-0000/ (a
run)  ...
Invariant: the folder is the whole state of the sweep: it can be interrupted anywhere and resumed, and an
interrupted trial resumes from its own checkpoint with its own settings.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage.app.models.training.recipe import Recipe, find_recipe
from sage.app.models.training.space import Sweep
from sage.app.terminal.errors import UserError

if TYPE_CHECKING:
    from sage.app.models.training.run import Trained

STUDY = "sweep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """settings: recipe key -> value.  value: the metric, None where the trial failed.  reason: why."""

    number: int
    settings: dict[str, Any]
    value: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """trials: in order.  is_interrupted: by a signal; the sweep can be resumed."""

    folder: Path
    metric: str
    trials: tuple[Trial, ...]
    is_interrupted: bool

    @property
    def best(self) -> Trial | None:
        done = [trial for trial in self.trials if trial.value is not None]
        return max(done, key=lambda trial: trial.value or 0.0, default=None)


def run_sweep(
    sweep: Sweep, folder: Path, *, device: str = "auto", on_trial: Callable[[Trial], None] = lambda _: None
) -> Swept:
    """Train the trials that are missing. UserError where the folder belongs to another sweep."""
    optuna = _optuna()
    _claim(sweep, folder)
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    )
    study = optuna.create_study(
        study_name=STUDY,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=_sampler(optuna, sweep, 0),
    )
    is_interrupted = False
    while not is_interrupted and (number := _num_ended(study)) < sweep.trials:
        study.sampler = _sampler(
            optuna, sweep, number
        )  # seeded by the trial's number, so that a resumed sweep draws the same
        trial = _unfinished(study) or study.ask(sweep.distributions())
        settings = dict(trial.params)
        trained, reason = _train(sweep, settings, folder / f"trial-{trial.number:04d}", device)
        is_interrupted = trained is not None and trained.result.is_interrupted
        if not is_interrupted:
            value = None if trained is None else _measure(trained, sweep.metric)
            state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
            study.tell(trial.number, value, state=state)
            on_trial(Trial(number=trial.number, settings=settings, value=value, reason=reason))
    return Swept(
        folder=folder, metric=sweep.metric, trials=_ended_trials(study), is_interrupted=is_interrupted
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


def _sampler(optuna: Any, sweep: Sweep, number: int) -> Any:
    return optuna.samplers.TPESampler(
        seed=sweep.seed + number, n_startup_trials=min(10, max(2, sweep.trials // 3))
    )


def _unfinished(study: Any) -> Any:
    """The trial that was running when the sweep was interrupted."""
    running = [trial for trial in study.trials if trial.state.name == "RUNNING"]
    return running[0] if running else None


def _num_ended(study: Any) -> int:
    return sum(trial.state.is_finished() for trial in study.trials)


def _ended_trials(study: Any) -> tuple[Trial, ...]:
    return tuple(
        Trial(number=trial.number, settings=dict(trial.params), value=trial.value)
        for trial in study.trials
        if trial.state.is_finished()
    )


def _claim(sweep: Sweep, folder: Path) -> None:
    """Write sweep.json. UserError where it has other settings; only the number of trials may change."""
    path, plain = folder / "sweep.json", sweep.to_plain()
    if path.is_file():
        before = json.loads(path.read_text())
        changed = [key for key in plain if key != "trials" and before.get(key) != plain[key]]
        if changed:
            raise UserError(
                f"--out {folder}: contains another sweep ({changed[0]} differs): give another folder"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise UserError(f"--out {folder}: not empty and not a sweep: give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain, indent=2) + "\n")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UserError("sweep: optuna is not installed: pip install 'sage-runtime[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
