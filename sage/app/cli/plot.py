"""`sage plot`: pictures of a training run, and of a model at work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PuzzleOption = Annotated[
    str | None,
    typer.Option("--puzzle", metavar="PUZZLE", help="The puzzle to look at, or a file; else a held-out one."),
]


def plot(
    source: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A training run's folder, or a model as `sage solve` takes it."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where to write; ./plots by default.")
    ] = Path("plots"),
    puzzle: PuzzleOption = None,
    segments: Annotated[int, typer.Option("--segments", min=1, max=256, help="Segments to watch.")] = 8,
    cell: Annotated[int, typer.Option("--cell", min=0, help="Whose attention to draw, counted from 0.")] = 0,
    picture_format: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
) -> None:
    """Draw losses and accuracies; a puzzle, its answer and how it formed; where both states go; when the
    model halts.
    """
    from sage.app.models.plots.write import PlotOptions, write_plots
    from sage.app.models.solving import read_puzzle

    text = None if puzzle is None else read_puzzle(puzzle)
    options = PlotOptions(out=out, puzzle=text, segments=segments, cell=cell, format=picture_format)
    written = write_plots(source, options)
    typer.echo(
        "\n".join(
            [*(str(path) for path in written.paths), *(f"left out: {each}" for each in written.left_out)]
        )
    )
