"""Sweeps in words.

Invariant: the settings of the best trial are shown as `--set` takes them.
"""

from __future__ import annotations

import dataclasses
import json

from sage.app.models.training.sweep import Swept
from sage.app.models.training.sweep_study import Trial
from sage.app.terminal.figures import percent


def show_trial(trial: Trial, metric: str) -> str:
    outcome = f"{metric} {percent(trial.value, 1)}" if trial.value is not None else f"failed: {trial.reason}"
    return f"trial {trial.number}: {outcome}  {_settings(trial)}"


def show_swept(swept: Swept, *, is_json: bool) -> str:
    best = swept.best
    if is_json:
        plain = {
            "sweep": str(swept.folder),
            "metric": swept.metric,
            "is_interrupted": swept.is_interrupted,
            "num_running": swept.num_running,
            "trials": [dataclasses.asdict(trial) for trial in swept.trials],
            "best": None if best is None else best.number,
        }
        return json.dumps(plain)
    done = sorted(
        (trial for trial in swept.trials if trial.value is not None), key=lambda trial: -(trial.value or 0.0)
    )
    lines = [
        f"{len(swept.trials)} trials, {len(swept.trials) - len(done)} failed; by {swept.metric}, of one seed"
        " each:"
    ]
    lines += [
        f"  trial {trial.number:>4}  {percent(trial.value, 1):>6}  {_settings(trial)}" for trial in done[:10]
    ]
    if best is not None:
        folder = swept.folder / f"trial-{best.number:04d}"
        lines.append(f"best:  {folder}" if folder.is_dir() else f"best:  {folder.name} of {best.worker}")
    if swept.num_running:
        lines.append(f"running: {swept.num_running} trials of other workers")
    if swept.is_interrupted:
        lines.append(f"resume: the same command, --out {swept.folder}")
    return "\n".join(lines)


def _settings(trial: Trial) -> str:
    return " ".join(
        f"{key}={f'{value:.4g}' if isinstance(value, float) else json.dumps(value)}"
        for key, value in trial.settings.items()
    )
