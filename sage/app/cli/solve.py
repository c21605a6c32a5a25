"""`sage solve`: one puzzle, typed or from a file, by a trained model."""

from __future__ import annotations

from typing import Annotated

import typer

from sage.app.cli.options import JsonOption
from sage.app.terminal.errors import UserError

TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="sudoku, maze, ...")]
PuzzleArgument = Annotated[
    str,
    typer.Argument(
        metavar="PUZZLE", help="The puzzle itself, a file that holds it, or - to read it from stdin."
    ),
]
CheckpointOption = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="MODEL",
        help="A shipped name, a folder, a file or a hub repository; else what is shipped.",
    ),
]
SegmentsOption = Annotated[int, typer.Option("--segments", help="Segments of a try, at most.")]
HaltOption = Annotated[
    str,
    typer.Option("--halt", help="What ends a try sooner: verifier, q (the model's own judgement), never."),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        help="With --halt q: how sure the model must be to end with an answer, 0 to below 1.",
    ),
]
TriesOption = Annotated[
    int, typer.Option("--tries", help="Tries with noise; the first one verified is the answer.")
]
SoundOption = Annotated[
    bool, typer.Option("--sound", help="Give no answer rather than one that breaks the rules.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of the noise.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Where the model runs, e.g. cuda.")]


def solve(
    task: TaskArgument,
    puzzle: PuzzleArgument,
    checkpoint: CheckpointOption = None,
    segments: SegmentsOption = 64,
    halt: HaltOption = "verifier",
    min_confidence: ConfidenceOption = None,
    tries: TriesOption = 1,
    sound: SoundOption = False,
    seed: SeedOption = 0,
    device: DeviceOption = "cpu",
    json_output: JsonOption = False,
) -> int:
    """Solve a puzzle. Prints it, the answer and what it cost. Exit 1 if the answer breaks the rules, or with
    --sound is none.
    """
    from sage.app.models.solving import read_puzzle, show_answer, solve_puzzle

    options = {"max_segments": segments, "halt": halt, "tries": tries, "abstains": sound, "seed": seed}
    if min_confidence is not None:
        if halt != "q":
            raise UserError(f"--min-confidence is for --halt q, and halt is {halt}: leave one of the two out")
        options["min_confidence"] = min_confidence
    answer = solve_puzzle(task, read_puzzle(puzzle), checkpoint=checkpoint, device=device, options=options)
    typer.echo(show_answer(answer, is_json=json_output))
    return 0 if answer.is_verified else 1
