"""`sage sleep`: one night on a snapshot, the same code that the loop spawns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sleep(
    snapshot: Annotated[
        Path, typer.Argument(metavar="SNAPSHOT_DIR", help="A folder that a run wrote for sleep.")
    ],
) -> None:
    """Consolidate a snapshot. Train on replay, examine on held-out experience, write the candidate and its
    report.
    """
    from sage.app.terminal.errors import UserError

    if not snapshot.is_dir():
        raise UserError(f"{snapshot}: no such folder: give the snapshot that a run wrote")

    import json

    from sage.runtime.report import to_plain
    from sage.runtime.sleep.consolidate import main

    try:
        report = main(snapshot)
    except FileNotFoundError as error:
        raise UserError(
            f"{snapshot}: {error.filename or error} is missing: give the snapshot that a run wrote"
        ) from error
    except ValueError as error:
        raise UserError(f"{snapshot}: no snapshot ({error}): give the one that a run wrote") from error
    typer.echo(json.dumps(to_plain(report)))
