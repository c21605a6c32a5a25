"""`sage report`: a session as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import StateDirOption

SessionArgument = Annotated[
    str | None, typer.Argument(metavar="SESSION", help="Its id; the last one by default.")
]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to write the page.")]


def report(session: SessionArgument = None, out: OutOption = None, state_dir: StateDirOption = None) -> None:
    """Write one self-contained HTML page with the plots of a session."""
    from sage.app.config.state_dir import default_state_dir
    from sage.app.report.write import write_report

    typer.echo(write_report(state_dir or default_state_dir(), session, out))
