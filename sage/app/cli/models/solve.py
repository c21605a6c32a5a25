"""`sage solve`: puzzles, typed or from a file, by a trained model."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sage.app.cli.options import CheckpointOption, DeviceOption, JsonOption, SeedOption
from sage.app.terminal.errors import UserError

TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="sudoku, maze, ...; see `sage tasks`.")]
PuzzleArgument = Annotated[
    str,
    typer.Argument(
        metavar="PUZZLE", help="A puzzle, a file with one or several puzzles, or - for standard input."
    ),
]
SegmentsOption = Annotated[
    int | None,
    typer.Option(
        "--segments",
        help="Most reasoning segments per try; by default 16 where a search may follow, else 64.",
    ),
]
HaltOption = Annotated[
    str,
    typer.Option(
        "--halt", help="When a try may end early: verifier (the rules are met), q (Q-halt head), never."
    ),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option("--min-confidence", help="With --halt q: halt at this confidence or above; 0 to below 1."),
]
TriesOption = Annotated[
    int, typer.Option("--tries", help="Tries, the first plain; ends at the first verified answer.")
]
VariationOption = Annotated[
    str,
    typer.Option(
        "--variation", help="What sets tries apart: noise before every segment, or a random start (start)."
    ),
]
PickOption = Annotated[
    str,
    typer.Option(
        "--pick", help="The answer where none is verified: of the highest q, or of the smallest residual."
    ),
]
SearchOption = Annotated[
    int | None,
    typer.Option(
        "--search",
        min=0,
        help=(
            "Most model calls of the search that follows tries without a valid answer; 0: no search. Default,"
            " for tasks that can be searched: 64, within 5 seconds."
        ),
    ),
]
SearchSecondsOption = Annotated[
    float | None,
    typer.Option("--search-seconds", help="Most seconds of the search of one puzzle."),
]
ChainsOption = Annotated[
    int | None,
    typer.Option(
        "--chains",
        min=1,
        help="Chains of deductions and guesses in place of the search, for a model with deduction heads.",
    ),
]
SoundOption = Annotated[
    bool, typer.Option("--sound", help="Print no answer rather than one that breaks the rules.")
]


def solve(
    task: TaskArgument,
    puzzle: PuzzleArgument,
    checkpoint: CheckpointOption = None,
    segments: SegmentsOption = None,
    halt: HaltOption = "verifier",
    min_confidence: ConfidenceOption = None,
    tries: TriesOption = 1,
    variation: VariationOption = "noise",
    pick: PickOption = "q",
    search: SearchOption = None,
    search_seconds: SearchSecondsOption = None,
    chains: ChainsOption = None,
    sound: SoundOption = False,
    seed: SeedOption = 0,
    device: DeviceOption = "cpu",
    json_output: JsonOption = False,
) -> int:
    """Solve one or several puzzles. Prints each puzzle, its answer and the cost.

    Exit code 1: an answer breaks the rules, or with --sound is missing; 2: a puzzle cannot be read.
    """
    from sage.app.models.solving import (
        Refused,
        read_puzzle,
        show_answer,
        show_answers,
        solve_puzzles,
    )
    from sage.hrm_core.tasks.puzzle_text import split_puzzles

    options: dict[str, Any] = {"halt": halt, "tries": tries, "abstains": sound, "seed": seed}
    options |= {"variation": variation, "pick": pick}
    given = {
        "max_segments": segments,
        "search": search,
        "search_seconds": search_seconds,
        "chains": chains,
    }
    options |= {name: value for name, value in given.items() if value is not None}
    if min_confidence is not None:
        if halt != "q":
            raise UserError(f"--min-confidence needs --halt q, and --halt is {halt}: remove one of the two")
        options["min_confidence"] = min_confidence
    puzzles = split_puzzles(task, read_puzzle(puzzle))
    answers = []
    for answer in solve_puzzles(task, puzzles, checkpoint=checkpoint, device=device, options=options):
        answers.append(answer)
        if not json_output:
            title = f"puzzle {len(answers)} of {len(puzzles)}\n" if len(puzzles) > 1 else ""
            typer.echo(f"{title}{show_answer(answer)}" + ("\n" if len(answers) < len(puzzles) else ""))
    if json_output:
        typer.echo(show_answers(answers))
    if any(isinstance(answer, Refused) for answer in answers):
        return 2
    return 0 if all(answer.is_verified for answer in answers) else 1
