"""`sage eval`: how good models are, beside a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sage.app.cli.options import CheckpointOption, DeviceOption, JsonOption, QuietOption, StateDirOption

#: Of one evaluation.
MOST_PUZZLES = 10_000_000

ModelsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL...",
        help=(
            "A run's folder, a model's, a file, a shipped name, a hub repository; a task: its shipped models"
            " and newest run."
        ),
    ),
]
OptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="KEY=VALUE", help="An option of the task, e.g. givens=[17,25]. Repeatable."
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option("--task", help="The task, where the model has no task.json; one part of a mixture."),
]
TriesOption = Annotated[
    int | None,
    typer.Option(
        "--tries", min=1, help="Also solve with the task's rules as verifier, with this many tries."
    ),
]
SearchOption = Annotated[
    int | None,
    typer.Option(
        "--search", min=1, help="Also solve with a search of up to this many model calls after the tries."
    ),
]
StartsOption = Annotated[
    int | None,
    typer.Option(
        "--starts", min=1, help="Also solve without a verifier, from this many starts; the model picks."
    ),
]
ChainsOption = Annotated[
    int | None,
    typer.Option(
        "--chains",
        min=1,
        help=(
            "Models with deduction heads: also this many chains of up to --search calls (64), with the rules"
            " and without."
        ),
    ),
]
FormsOption = Annotated[
    int | None,
    typer.Option("--forms", min=1, help="ARC: number of augmented forms of each test to vote over."),
]
SubmissionOption = Annotated[
    Path | None,
    typer.Option(
        "--submission", metavar="FILE", help="ARC: write two attempts at each test in the ARC Prize's format."
    ),
]

DtypeOption = Annotated[
    str,
    typer.Option(
        "--dtype",
        help="Of the matrix products: float32, bfloat16, or auto: what costs least, see `sage doctor`.",
    ),
]


def evaluate(
    models: ModelsArgument = None,
    all_models: Annotated[
        bool, typer.Option("--all", help="Every shipped model and those given, at every size and task.")
    ] = False,
    task: TaskOption = None,
    options: OptionOption = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="PATH", help="Evaluate on this file or folder.")
    ] = None,
    segments: Annotated[
        str, typer.Option("--segments", help="Numbers of segments to report, separated by commas.")
    ] = "1,2,4,8,16",
    num: Annotated[int, typer.Option("--num", min=1, max=MOST_PUZZLES, help="Number of puzzles.")] = 1000,
    all_puzzles: Annotated[
        bool, typer.Option("--all-puzzles", help="Every evaluation puzzle of a file, or 10,000 fresh ones.")
    ] = False,
    tries: TriesOption = None,
    search: SearchOption = None,
    starts: StartsOption = None,
    chains: ChainsOption = None,
    forms: FormsOption = None,
    submission: SubmissionOption = None,
    failures: Annotated[int, typer.Option("--failures", min=0, help="Draw this many unsolved puzzles.")] = 0,
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    state_dir: StateDirOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> int:
    """Evaluate models on held-out puzzles: accuracy by depth, halting, calibration; spread of several."""
    import json

    from sage.app.models.training.evaluating import EvalRequest, evaluate_all, parse_segments
    from sage.app.terminal.errors import UserError
    from sage.app.terminal.logs import only_warnings
    from sage.app.terminal.waiting import show_waiting

    models = [*(models or ()), *([checkpoint] if checkpoint else ())]
    if not models and not all_models:
        raise UserError("eval: no model given: give a run's folder, a model or --all")
    request = EvalRequest(
        sources=tuple(models),
        task=task,
        options=_options(options or ()),
        data=data,
        num=None if all_puzzles else num,
        segments=parse_segments(segments),
        tries=tries,
        search=search,
        starts=starts,
        chains=chains,
        num_forms=forms,
        submission=submission,
        device=device,
        dtype=dtype,
        state_dir=state_dir,
    )
    with only_warnings(), show_waiting("eval", is_quiet=quiet):
        if all_models:
            from sage.app.models.training.census import show_census, take_census

            census = take_census(request)
            typer.echo(json.dumps(census.to_plain()) if json_output else show_census(census))
            return 0
        from sage.app.models.training.showing import show_evaluated

        typer.echo(show_evaluated(evaluate_all(request), num_failures=failures, is_json=json_output))
    return 0


def _options(given: list[str] | tuple[()]) -> dict[str, Any]:
    from sage.app.config.yaml_file import parse_value
    from sage.app.terminal.errors import UserError

    options = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--option {text}: give KEY=VALUE, e.g. size=6")
        options[key] = parse_value(value)
    return options
