"""`sage sleep`: one night on a snapshot; the loop runs this command in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sleep(
    snapshot: Annotated[
        Path, typer.Argument(metavar="SNAPSHOT_DIR", help="Folder that `sage run` wrote for sleep.")
    ],
) -> None:
    """Train a snapshot on replayed experiences, examine it on held-out ones, write the candidate and a
    report.
    """
    from sage.app.terminal.errors import UserError
    from sage.errors import SageError

    if not snapshot.is_dir():
        raise UserError(f"{snapshot}: no such folder: give STATE_DIR/sleep/NIGHT of a run")

    import json

    from sage.runtime.report import to_plain
    from sage.runtime.sleep.consolidate import main

    try:
        report = main(snapshot)
    except FileNotFoundError as error:
        raise UserError(
            f"{snapshot}: {error.filename or error} is missing: give STATE_DIR/sleep/NIGHT of a run"
        ) from error
    except SageError as error:
        raise UserError(
            f"{snapshot}: not a snapshot ({error}): give STATE_DIR/sleep/NIGHT of a run"
        ) from error
    typer.echo(json.dumps(to_plain(report)))
