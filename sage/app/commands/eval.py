"""`sage eval`: how good models are, beside a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.commands.options import JsonOption

ModelsArgument = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="A run's folder, a model's, a file, a shipped name, a hub repository.")
]
OptionOption = Annotated[
    list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Of the task, e.g. givens=[17,25]. Repeatable.")
]


def evaluate(
    models: ModelsArgument,
    task: Annotated[str | None, typer.Option("--task", help="The task, where the model's folder does not tell it.")] = None,
    options: OptionOption = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="PATH", help="Evaluate on this file or folder.")] = None,
    segments: Annotated[str, typer.Option("--segments", help="Depths to report, with commas.")] = "1,2,4,8,16",
    num: Annotated[int, typer.Option("--num", min=1, help="Puzzles.")] = 1000,
    all_puzzles: Annotated[bool, typer.Option("--all", help="Every evaluation puzzle of a file, or 10,000 fresh ones.")] = False,
    failures: Annotated[int, typer.Option("--failures", min=0, help="Draw so many puzzles that were not solved.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, ...")] = "auto",
    json_output: JsonOption = False,
) -> int:
    """Evaluate models on held-out puzzles. Accuracy by depth, halting, calibration; several models give mean and spread."""
    from sage.app.errors import UserError
    from sage.app.training.evaluating import EvalRequest, evaluate_all, parse_segments
    from sage.app.training.showing import show_evaluated
    from sage.app.yaml_file import parse_value

    given = {}
    for text in options or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--option {text}: give KEY=VALUE, e.g. size=6")
        given[key] = parse_value(value)
    request = EvalRequest(
        sources=tuple(models),
        task=task,
        options=given,
        data=data,
        num=None if all_puzzles else num,
        segments=parse_segments(segments),
        device=device,
    )

    from sage.app.solving import only_warnings

    with only_warnings():
        found = evaluate_all(request)
    typer.echo(show_evaluated(found, num_failures=failures, is_json=json_output))
    return 0
