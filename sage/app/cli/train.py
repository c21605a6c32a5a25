"""`sage train`: a model of puzzles, from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, SetOption, StateDirOption

TaskArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="TASK",
        help=(
            "A task (sudoku, maze, ...) or a recipe (sudoku4); without one, and without --config, both are"
            " listed."
        ),
    ),
]
ConfigOption = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="A recipe: a YAML file or a shipped one.")
]
PresetOption = Annotated[
    str | None, typer.Option("--preset", help="The model: small, medium, sudoku, hrm-27m, trm-mlp-5m, ...")
]
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="PATH", help="Train on files instead of fresh puzzles.")
]
EvalDataOption = Annotated[
    Path | None, typer.Option("--eval-data", metavar="PATH", help="Evaluate on this file.")
]
CpuOption = Annotated[
    float | None, typer.Option("--cpu-seconds", help="Stop after this much CPU time of training.")
]


def train(
    task: TaskArgument = None,
    config: ConfigOption = None,
    preset: PresetOption = None,
    data: DataOption = None,
    eval_data: EvalDataOption = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimizer steps.")] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", help="Instead of steps, where the data have a size.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Puzzles under way, over all processes.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of the weights, the data and the exploration.")
    ] = None,
    overrides: SetOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The run's folder; else a new one.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check data and model, take one step, write nothing.")
    ] = False,
    cpu_seconds: CpuOption = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    wandb: Annotated[bool, typer.Option("--wandb", help="Log to Weights & Biases too.")] = False,
    project: Annotated[str, typer.Option("--project", help="With --wandb: its project.")] = "sage",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Log to TensorBoard too, in the run's folder.")
    ] = False,
    state_dir: StateDirOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on the screen.")] = False,
    json_output: JsonOption = False,
) -> int:
    """Train a model. Ctrl-C leaves a checkpoint, and --resume goes on from it to the same bits. Exit 130 if
    interrupted.
    """
    from sage.app.models.training.showing import list_recipes, show_dry_run, show_trained

    if task is None and config is None:
        typer.echo(list_recipes())
        return 0

    from sage.app.models.training.recipe import find_recipe

    typed = _as_overrides(
        preset=preset,
        steps=steps,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        lr=lr,
        max_cpu_secs=cpu_seconds,
    )
    recipe = find_recipe(task, config, [*typed, *(overrides or ())])

    from sage.app.models.training import run
    from sage.app.terminal.logs import only_warnings

    request = run.TrainRequest(
        recipe=recipe,
        data=data,
        eval_data=eval_data,
        out=out,
        state_dir=state_dir,
        resume=resume,
        device=device,
        wandb_project=project if wandb else None,
        tensorboard=tensorboard,
        shows_progress=not quiet,
    )
    with only_warnings():
        if dry_run:
            from sage.app.models.training import dry_run as rehearsal

            typer.echo(show_dry_run(recipe, rehearsal.dry_run(request), is_json=json_output))
            return 0
        trained = run.train(request)
    typer.echo(show_trained(trained, is_json=json_output))
    return 130 if trained.result.is_interrupted else 0


def _as_overrides(*, preset: str | None, lr: float | None, **training: float | None) -> list[str]:
    """Options as `--set` takes them. A length in steps takes the place of one in epochs, and the other way
    round.
    """
    typed = {
        "preset": preset,
        "train.optimizer.lr": lr,
        **{f"train.{key}": value for key, value in training.items()},
    }
    changes = [f"{key}={value}" for key, value in typed.items() if value is not None]
    if (training["steps"] is None) != (training["epochs"] is None):
        changes.append(f"train.{'steps' if training['steps'] is None else 'epochs'}=null")
    return changes
