"""`sage report`: a session as one HTML file, or several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, StateDirOption

SessionsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="SESSION", help="Session ids, or their starts. Default: the latest session."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Output file. Default: STATE_DIR/report-SESSION.html; of several, with all their ids.",
    ),
]


def report(
    sessions: SessionsArgument = None,
    out: OutOption = None,
    state_dir: StateDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Write one self-contained HTML page with the plots of a session.

    Of several sessions the page has the main figures side by side, and they are printed as a table.
    """
    from sage.app.config.state_dir import default_state_dir

    folder = state_dir or default_state_dir()
    if sessions and len(sessions) > 1:
        _compare(folder, sessions, out, json_output)
    else:
        _one(folder, sessions[0] if sessions else None, out, json_output)


def _one(folder: Path, session: str | None, out: Path | None, json_output: bool) -> None:
    import json

    from sage.app.report.write import load_report, report_as_dict, write_page

    data = load_report(folder, session)
    path = write_page(data, out or folder / f"report-{data.session.id}.html")
    if json_output:
        typer.echo(json.dumps({"path": str(path), **report_as_dict(data)}, allow_nan=False))
    else:
        typer.echo(path)


def _compare(folder: Path, sessions: list[str], out: Path | None, json_output: bool) -> None:
    import json

    from sage.app.report.side_by_side import as_dict, load_columns, render, write_columns

    found = load_columns(folder, sessions)
    path = write_columns(found, out or folder / f"report-{'-'.join(found.sessions)}.html")
    if json_output:
        typer.echo(json.dumps({"path": str(path), "sessions": as_dict(found)}, allow_nan=False))
        return
    render(found)
    typer.echo(path)
