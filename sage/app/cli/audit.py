"""`sage audit`: what the effectors of a state directory were asked, allowed and did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, StateDirArgument


def audit(
    state_dir: StateDirArgument = None,
    last: Annotated[int, typer.Option("--last", min=1, metavar="N", help="Number of rows.")] = 20,
    effector: Annotated[
        str | None, typer.Option("--effector", metavar="NAME", help="Rows of this effector only.")
    ] = None,
    json_output: JsonOption = False,
) -> int:
    """Print the last rows of the audit log. Exit code 1 when a row was damaged, removed or moved."""
    from sage.app.audit.reader import read_trail, segments
    from sage.app.audit.text import as_text
    from sage.app.config.state_dir import AUDIT_NAME, default_state_dir
    from sage.app.terminal.errors import UserError

    home: Path = (state_dir or default_state_dir()) / AUDIT_NAME
    if not segments(home):
        raise UserError(f"{home}: no audit log: give the state directory of a run with effectors")
    trail = read_trail(home, last=last, effector=effector)
    for row in trail.rows:
        typer.echo(json.dumps(row, allow_nan=False) if json_output else as_text(row))
    for problem in trail.problems[:10]:
        typer.echo(f"sage: {home}/{problem}", err=True)
    if len(trail.problems) > 10:
        typer.echo(f"sage: {len(trail.problems) - 10} more damaged rows", err=True)
    return 1 if trail.problems else 0
