"""`sage export`: a model as one ONNX file, compared with torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, ModelArgument


def export(
    checkpoint: ModelArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.onnx", help="Output file.")],
    int8: Annotated[bool, typer.Option("--int8", help="Store matrices as int8.")] = False,
    check: Annotated[
        int, typer.Option("--check", min=0, help="Held-out puzzles to compare with torch; 0: none.")
    ] = 100,
    segments: Annotated[int, typer.Option("--segments", min=1, help="Reasoning segments per puzzle.")] = 16,
    json_output: JsonOption = False,
) -> int:
    """Write one segment as an ONNX graph for `sage solve --checkpoint FILE.onnx`.

    Exit code 1 if its outputs differ from torch's.
    """
    from sage.app.models.catalogue import export_model

    written = export_model(checkpoint, out, is_int8=int8, num_puzzles=check, num_segments=segments)
    if json_output:
        import json

        typer.echo(json.dumps(written.to_plain()))
    else:
        typer.echo(written.describe())
    return 0 if written.is_equal else 1
