"""`sage store`: the store of past sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, StateDirOption, command_group

app = command_group("List and export past sessions.")


@app.command("inspect")
def inspect(state_dir: StateDirOption = None, json_output: JsonOption = False) -> None:
    """List the sessions with their start, duration, ticks and lost reports."""
    import dataclasses
    import json

    from sage.app.store.view import open_store, render_sessions

    with open_store(state_dir) as store:
        sessions, inspection = store.sessions(), store.inspect()
    if json_output:
        plain = {
            "store": dataclasses.asdict(inspection),
            "sessions": [dataclasses.asdict(session) for session in sessions],
        }
        typer.echo(json.dumps(plain, default=str))
        return
    render_sessions(sessions, inspection)


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Output file: .parquet, .csv or .jsonl.")],
    session: Annotated[
        str | None,
        typer.Option(
            "--session", metavar="ID", help="Session id, or its start. Default: the latest session."
        ),
    ] = None,
    state_dir: StateDirOption = None,
) -> None:
    """Write the ticks, sleeps and events of a session to files."""
    from sage.app.store.export import export_session
    from sage.app.store.view import open_store

    with open_store(state_dir) as store:
        written = export_session(store, store.session(session), out)
    typer.echo("\n".join(map(str, written)))
