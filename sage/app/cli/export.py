"""`sage export`: a model as one ONNX file, checked against torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[
        str, typer.Argument(metavar="MODEL", help="A shipped name, a folder, a file or a hub repository.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.onnx", help="Where to write.")],
    int8: Annotated[bool, typer.Option("--int8", help="Matrices in int8.")] = False,
    check: Annotated[
        int, typer.Option("--check", min=0, help="Held-out puzzles to compare on; 0: none.")
    ] = 100,
    segments: Annotated[int, typer.Option("--segments", min=1, help="Segments of each of them.")] = 16,
) -> int:
    """Write one segment as an ONNX graph that `sage solve --checkpoint FILE.onnx` takes. Exit 1 if it differs
    from torch.
    """
    from sage.app.models.catalogue import export_model

    said, is_equal = export_model(checkpoint, out, is_int8=int8, num_puzzles=check, num_segments=segments)
    typer.echo(said)
    return 0 if is_equal else 1
