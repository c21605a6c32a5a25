"""`sage sweep`: a search over a recipe's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import DeviceOption, JsonOption, QuietOption, StateDirOption


def sweep(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="YAML file with recipe, trials, metric, set and search."),
    ],
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Number of trials. Default: the file's.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Output folder. Default: STATE_DIR/sweeps/FILE."),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="What several workers share: a database's URL, or a file. Default: a file in --out.",
        ),
    ] = None,
    worker: Annotated[
        str,
        typer.Option("--worker", metavar="NAME", help="Name of this process. Default: that of the host."),
    ] = "",
    device: DeviceOption = "auto",
    state_dir: StateDirOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> int:
    """Search a recipe's settings (Bayesian). The same command resumes an interrupted search.

    Run on several machines at once with the same FILE and --storage, it trains different trials on each.

    Exit code 1 if every trial failed, 130 after Ctrl-C, 143 after SIGTERM.
    """
    from dataclasses import replace

    from sage.app.config.state_dir import default_state_dir
    from sage.app.models.training.showing_sweep import show_swept, show_trial
    from sage.app.models.training.space import read_sweep
    from sage.app.models.training.sweep import run_sweep
    from sage.app.terminal.logs import only_warnings
    from sage.app.terminal.signals import exit_code

    wanted = read_sweep(file)
    if trials is not None:
        wanted = replace(wanted, trials=trials)
    folder = out or (state_dir or default_state_dir()) / "sweeps" / file.stem
    with only_warnings():
        swept = run_sweep(
            wanted,
            folder,
            device=device,
            storage=storage,
            worker=worker,
            on_trial=lambda trial: None if quiet else typer.echo(show_trial(trial, wanted.metric), err=True),
        )
    typer.echo(show_swept(swept, is_json=json_output))
    if swept.is_interrupted:
        return exit_code(swept.signal)
    return 0 if swept.best is not None else 1
