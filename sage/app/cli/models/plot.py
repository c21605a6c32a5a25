"""`sage plot`: plots of a training run or of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption

SourceArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Folder of a training run, or a model as in `sage solve`.")
]
OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Output folder. Default: ./plots.")]
PuzzleOption = Annotated[
    str | None,
    typer.Option("--puzzle", metavar="PUZZLE", help="Puzzle or file to plot. Default: a held-out puzzle."),
]


def plot(
    source: SourceArgument,
    out: OutOption = Path("plots"),
    puzzle: PuzzleOption = None,
    segments: Annotated[int, typer.Option("--segments", min=1, max=256, help="Reasoning segments.")] = 8,
    cell: Annotated[int, typer.Option("--cell", min=0, help="Cell whose attention is plotted, from 0.")] = 0,
    picture_format: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
    json_output: JsonOption = False,
) -> None:
    """Plot the losses of a run; the architecture of a model, its H/L flow, answers, states and halting."""
    import json

    from sage.app.models.plots.write import PlotOptions, write_plots
    from sage.app.models.solving import read_puzzle

    text = None if puzzle is None else read_puzzle(puzzle)
    options = PlotOptions(out=out, puzzle=text, segments=segments, cell=cell, format=picture_format)
    written = write_plots(source, options)
    if json_output:
        plain = {"paths": [str(path) for path in written.paths], "left_out": list(written.left_out)}
        typer.echo(json.dumps(plain))
        return
    for path in written.paths:
        typer.echo(path)
    for reason in written.left_out:
        typer.echo(f"not plotted: {reason}")
