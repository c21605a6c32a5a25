"""`sage sweep`: a recipe's settings, searched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, StateDirOption


def sweep(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What to search: recipe, trials, metric, set, search (YAML)."),
    ],
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="In place of the file's number.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The sweep's folder; else one by the file's name."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, ...")] = "auto",
    state_dir: StateDirOption = None,
    json_output: JsonOption = False,
) -> int:
    """Search a recipe's settings, Bayesian. The same command goes on where it stopped. Exit 1 when every
    trial failed.
    """
    from dataclasses import replace

    from sage.app.config.state_dir import default_state_dir
    from sage.app.models.training.showing_sweep import show_swept, show_trial
    from sage.app.models.training.space import read_sweep
    from sage.app.models.training.sweep import run_sweep
    from sage.app.terminal.logs import only_warnings

    wanted = read_sweep(file)
    if trials is not None:
        wanted = replace(wanted, trials=trials)
    folder = out or (state_dir or default_state_dir()) / "sweeps" / file.stem
    with only_warnings():
        swept = run_sweep(
            wanted,
            folder,
            device=device,
            on_trial=lambda trial: typer.echo(show_trial(trial, wanted.metric), err=True),
        )
    typer.echo(show_swept(swept, is_json=json_output))
    if swept.is_interrupted:
        return 130
    return 0 if swept.best is not None else 1
