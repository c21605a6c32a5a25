"""`sage totality`: the store of schemes and canvases as a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import StateDirOption
from sage.app.cli.serve import AllowOption, HostOption, PortOption

app = typer.Typer(help="Serve the Totality store: schemes, canvases and imagination.", no_args_is_help=True)


@app.command("serve")
def serve(
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="FOLDER", help="Folder of the store. Default: in memory only."),
    ] = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    allow_host: AllowOption = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Accept requests without a token. Loopback addresses only.")
    ] = False,
    examples: Annotated[
        bool, typer.Option("--examples", help="Write two schemes and a canvas into an empty store.")
    ] = False,
    max_schemes: Annotated[
        int, typer.Option("--max-schemes", min=1, help="Above this number the least salient are evicted.")
    ] = 50_000,
    max_canvases: Annotated[
        int, typer.Option("--max-canvases", min=1, help="Above this number the least salient are evicted.")
    ] = 10_000,
    half_life_secs: Annotated[
        float,
        typer.Option(
            "--half-life-secs", help="Time in which an activation halves, unless a request sets it."
        ),
    ] = 3600.0,
    state_dir: StateDirOption = None,
) -> None:
    """Serve /totality/read, imagine, activate, write, snapshot, restore, persist and sleep-cycle over HTTP.

    Clients must send the bearer token stored in STATE_DIR/http.token. GET /openapi.json describes the API.
    """
    from sage.app.totality.server import TotalityOptions, serve_totality

    serve_totality(
        TotalityOptions(
            store=store,
            host=host,
            port=port,
            allowed_hosts=tuple(allow_host or ()),
            needs_token=not no_token,
            has_examples=examples,
            max_schemes=max_schemes,
            max_canvases=max_canvases,
            half_life_secs=half_life_secs,
            state_dir=state_dir,
        )
    )
