"""`sage serve`: trained models behind HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from sage.app.cli.options import StateDirOption

CheckpointsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--checkpoint",
        metavar="MODEL",
        help="A shipped name, a folder, a file or a hub repository. Repeatable.",
    ),
]
HostOption = Annotated[
    str, typer.Option("--host", help="The address to listen on; others than this machine's own need care.")
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")]
AllowOption = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="NAME", help="A name under which others ask for it. Repeatable."),
]


def serve(
    checkpoint: CheckpointsOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8765,
    allow_host: AllowOption = None,
    device: Annotated[str, typer.Option("--device", help="Where the models run, e.g. cuda.")] = "cpu",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Puzzles under way at a time.")] = 64,
    state_dir: StateDirOption = None,
) -> None:
    """Serve /v1/solve, /v1/models and /healthz. Who asks bears the token in the state directory's
    http.token.
    """
    from sage.app.http.server import ServeOptions
    from sage.app.http.server import serve as serve_until_interrupted

    options = ServeOptions(
        checkpoints=tuple(checkpoint or ()),
        host=host,
        port=port,
        allowed_hosts=tuple(allow_host or ()),
        device=device,
        batch_size=batch_size,
        state_dir=state_dir,
    )
    serve_until_interrupted(options)
