"""`sage report`: a session as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, StateDirOption

SessionArgument = Annotated[
    str | None,
    typer.Argument(metavar="SESSION", help="Session id, or its start. Default: the latest session."),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Output file. Default: STATE_DIR/report-SESSION.html."),
]


def report(
    session: SessionArgument = None,
    out: OutOption = None,
    state_dir: StateDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Write one self-contained HTML page with the plots of a session."""
    import json

    from sage.app.config.state_dir import default_state_dir
    from sage.app.report.write import load_report, report_as_dict, write_page

    folder = state_dir or default_state_dir()
    data = load_report(folder, session)
    path = write_page(data, out or folder / f"report-{data.session.id}.html")
    if json_output:
        typer.echo(json.dumps({"path": str(path), **report_as_dict(data)}, allow_nan=False))
    else:
        typer.echo(path)
