"""`sage store`: what was kept of past sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, StateDirOption, command_group

app = command_group("Look into the store of past sessions.")


@app.command("inspect")
def inspect(state_dir: StateDirOption = None, json_output: JsonOption = False) -> None:
    """List the sessions: when, how long, how many ticks, what was lost."""
    import dataclasses
    import json

    from sage.app.store.view import open_kept, render_sessions

    with open_kept(state_dir) as store:
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
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .parquet, .csv or .jsonl.")],
    session: Annotated[
        str | None, typer.Option("--session", metavar="ID", help="The last one by default.")
    ] = None,
    state_dir: StateDirOption = None,
) -> None:
    """Write a session's ticks, sleeps and events to files."""
    from sage.app.store.export import export_session
    from sage.app.store.view import open_kept

    with open_kept(state_dir) as store:
        written = export_session(store, store.session(session), out)
    typer.echo("\n".join(map(str, written)))
