"""`sage train`: train a model by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sage.app.cli.options import DeviceOption, JsonOption, QuietOption, SetOption, StateDirOption, TrackOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage.app.models.training.from_search import FromSearch
    from sage.app.models.training.run import TrainRequest
    from sage.app.trackers.config import TrackerConfig

TaskArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="TASK",
        help="A task (sudoku, maze, ...) or a recipe (sudoku4). Default: list both, unless --config.",
    ),
]
ConfigOption = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="Recipe: a YAML file or a shipped recipe.")
]
PresetOption = Annotated[
    str | None, typer.Option("--preset", help="Model preset: small, medium, sudoku, hrm-27m, trm-mlp-5m, ...")
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="PATH", help="Train on these files, not on generated puzzles."),
]
EvalDataOption = Annotated[
    Path | None, typer.Option("--eval-data", metavar="PATH", help="Evaluate on this file.")
]
StepsOption = Annotated[int | None, typer.Option("--steps", help="Optimizer steps.")]
EpochsOption = Annotated[
    float | None,
    typer.Option("--epochs", help="Epochs, in place of --steps. An epoch of generated puzzles has 1000."),
]
BatchSizeOption = Annotated[int | None, typer.Option("--batch-size", help="Batch size over all processes.")]
LrOption = Annotated[float | None, typer.Option("--lr", help="Learning rate.")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Random seed.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="The run's folder. Default: a new one.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Resume the run in --out.")]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Check data and model, estimate the cost from small steps, write nothing."
    ),
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="MODEL", help="Start from this model: its weights and its architecture."),
]
FromSearchOption = Annotated[
    str | None,
    typer.Option(
        "--from-search",
        metavar="SOURCE",
        help="Search puzzles without solutions and train on what is found: a recipe, a file of puzzles, or a"
        " folder of episodes.",
    ),
]
SearchPuzzlesOption = Annotated[
    int | None, typer.Option("--search-puzzles", help="With --from-search: puzzles to search; 256.")
]
SearchCallsOption = Annotated[
    int | None, typer.Option("--search-calls", help="With --from-search: model calls per puzzle; 240.")
]
SearchCpuOption = Annotated[
    float | None, typer.Option("--search-cpu-seconds", help="With --from-search: CPU time of all searches.")
]
SearchShareOption = Annotated[
    float | None,
    typer.Option("--search-share", help="With --from-search: share of the training rows; 0.5."),
]
CpuOption = Annotated[
    float | None, typer.Option("--cpu-seconds", help="Stop after this much CPU time of training.")
]
WandbOption = Annotated[bool, typer.Option("--wandb", help="The same as --track wandb.")]
ProjectOption = Annotated[str, typer.Option("--project", help="Project in W&B and trackio.")]
TensorBoardOption = Annotated[bool, typer.Option("--tensorboard", help="The same as --track tensorboard.")]


def train(
    task: TaskArgument = None,
    config: ConfigOption = None,
    preset: PresetOption = None,
    data: DataOption = None,
    eval_data: EvalDataOption = None,
    steps: StepsOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    lr: LrOption = None,
    seed: SeedOption = None,
    overrides: SetOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    cpu_seconds: CpuOption = None,
    start: FromOption = None,
    from_search: FromSearchOption = None,
    search_puzzles: SearchPuzzlesOption = None,
    search_calls: SearchCallsOption = None,
    search_cpu_seconds: SearchCpuOption = None,
    search_share: SearchShareOption = None,
    device: DeviceOption = "auto",
    track: TrackOption = None,
    wandb: WandbOption = False,
    project: ProjectOption = "sage",
    tensorboard: TensorBoardOption = False,
    state_dir: StateDirOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> int:
    """Train a model. Ctrl-C saves a checkpoint; --resume continues from it, bit-identical. Exit 130 after
    Ctrl-C, 143 after SIGTERM.
    """
    if task is None and config is None:
        from sage.app.models.training.showing import list_recipes

        typer.echo(list_recipes())
        return 0

    from sage.app.models.training.recipe import find_recipe

    settings = _as_overrides(
        preset=preset,
        lr=lr,
        steps=steps,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        max_cpu_secs=cpu_seconds,
    )
    recipe = find_recipe(task, config, [*settings, *(overrides or ())])

    from sage.app.models.training.run import TrainRequest

    request = TrainRequest(
        recipe=recipe,
        start=start,
        from_search=_search(from_search, search_puzzles, search_calls, search_cpu_seconds, search_share),
        data=data,
        eval_data=eval_data,
        out=out,
        state_dir=state_dir,
        resume=resume,
        device=device,
        trackers=_trackers(track or (), project, wandb=wandb, tensorboard=tensorboard),
        shows_progress=not quiet,
    )
    return (_dry_run if dry_run else _train)(request, is_json=json_output)


def _search(
    source: str | None,
    num_puzzles: int | None,
    calls: int | None,
    cpu_secs: float | None,
    share: float | None,
) -> FromSearch | None:
    """None without --from-search. UserError for an option that needs it."""
    from sage.app.models.training.from_search import FromSearch
    from sage.app.terminal.errors import need_option

    if source is None:
        given = {"puzzles": num_puzzles, "calls": calls, "cpu-seconds": cpu_secs, "share": share}
        options = {f"--search-{name} {value}": value is not None for name, value in given.items()}
        need_option("--from-search", options)
        return None
    return FromSearch(
        source=source,
        num_puzzles=256 if num_puzzles is None else num_puzzles,
        calls=240 if calls is None else calls,
        cpu_secs=cpu_secs,
        share=0.5 if share is None else share,
    )


def _trackers(
    track: Sequence[str], project: str, *, wandb: bool, tensorboard: bool
) -> tuple[TrackerConfig, ...]:
    """The trackers of all options. UserError for an unknown one or a missing package."""
    from sage.app.trackers.opening import check_packages, chosen

    names = [*track, *(["wandb"] if wandb else []), *(["tensorboard"] if tensorboard else [])]
    configs = tuple(
        each.model_copy(update={"project": project}) if each.kind in ("wandb", "trackio") else each
        for each in chosen((), names)
    )
    check_packages(configs, option="--track")
    return configs


def _dry_run(request: TrainRequest, *, is_json: bool) -> int:
    from sage.app.models.training.dry_run import dry_run
    from sage.app.models.training.showing import show_dry_run
    from sage.app.terminal.logs import only_warnings

    with only_warnings():
        typer.echo(show_dry_run(request.recipe, dry_run(request), is_json=is_json))
    return 0


def _train(request: TrainRequest, *, is_json: bool) -> int:
    from sage.app.models.training.run import train as run_training
    from sage.app.models.training.showing import show_trained
    from sage.app.terminal.logs import only_warnings
    from sage.app.terminal.signals import exit_code

    with only_warnings():
        trained = run_training(request)
    typer.echo(show_trained(trained, is_json=is_json))
    return exit_code(trained.result.signal) if trained.result.is_interrupted else 0


def _as_overrides(*, preset: str | None, lr: float | None, **training: float | None) -> list[str]:
    """The options in the form of `--set`. --steps replaces the recipe's epochs, and --epochs its steps."""
    options = {
        "preset": preset,
        "train.optimizer.lr": lr,
        **{f"train.{key}": value for key, value in training.items()},
    }
    changes = [f"{key}={value}" for key, value in options.items() if value is not None]
    if (training["steps"] is None) != (training["epochs"] is None):
        changes.append(f"train.{'steps' if training['steps'] is None else 'epochs'}=null")
    return changes
