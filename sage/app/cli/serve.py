"""`sage serve`: trained models over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import DeviceOption, StateDirOption

CheckpointsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--checkpoint",
        metavar="MODEL",
        help=(
            "A shipped model, a folder, a file or a hub repository. Repeatable. Default: all shipped models."
        ),
    ),
]
HostOption = Annotated[
    str,
    typer.Option("--host", help="Address to listen on. Anything but 127.0.0.1 exposes the API without TLS."),
]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: a free port.")
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="NAME", help="Further name allowed in the Host header. Repeatable."),
]

TextOption = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="MODEL", help="A model of text, for /v1/generate. Repeatable."),
]
DataOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="A data set, or a folder with data sets, for the page /data. Repeatable.",
    ),
]


def serve(
    checkpoint: CheckpointsOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8765,
    allow_host: AllowOption = None,
    device: DeviceOption = "cpu",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Puzzles solved at a time.")] = 64,
    text: TextOption = None,
    data: DataOption = None,
    opens_page: Annotated[bool, typer.Option("--open", help="Open the puzzle page in a browser.")] = False,
    state_dir: StateDirOption = None,
) -> None:
    """Serve the pages (puzzles, data sets) and the API (/v1/solve, /v1/models) over HTTP.

    Clients must send the bearer token stored in STATE_DIR/http.token.
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
        opens_page=opens_page,
        text_models=tuple(text or ()),
        data_folders=tuple(data or ()),
    )
    serve_until_interrupted(options)
