"""`sage sensors`: which there are, whether one keeps the contract, the start of a new one, a recording of
one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, SetOption, command_group

app = command_group("List, check, write and record sensors.")

KindArgument = Annotated[str, typer.Argument(metavar="KIND", help="A kind that `sage sensors list` names.")]


@app.command("list")
def list_kinds(json_output: JsonOption = False) -> None:
    """List the kinds there are, and what each senses."""
    from sage.app.devices.kinds import describe_kinds, render_kinds

    kinds = describe_kinds()
    if json_output:
        import dataclasses
        import json

        typer.echo(json.dumps([dataclasses.asdict(kind) for kind in kinds]))
        return
    render_kinds(kinds)


@app.command("check")
def check(kind: KindArgument, overrides: SetOption = None) -> int:
    """Run the conformance kit on a kind. --set gives its keys (path=..., period_secs=...). Exit 1 if it
    fails.
    """
    from sage.app.devices.check import check_kind

    return check_kind(kind, overrides or ())


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower case, e.g. wind.")],
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="Where the package's folder is made.")
    ] = Path(),
) -> None:
    """Write a small package with a sensor of your own. It passes the conformance kit."""
    from sage.app.config.registry import plugins
    from sage.app.terminal.errors import UserError
    from sage.sensors.testing.scaffold import write_package

    if name in plugins("sensors"):
        raise UserError(
            f"sensors new {name}: there is a kind of that name ({plugins('sensors')[name].origin}): choose"
            " another"
        )
    folder = into / f"sage-sensor-{name.replace('_', '-')}"
    try:
        write_package(name, folder)
    except (ValueError, FileExistsError) as error:
        raise UserError(f"sensors new {name}: {error}") from None
    except OSError as error:
        raise UserError(
            f"{folder}: {(error.strerror or str(error)).lower()}: give a place that can be written to"
        ) from None
    typer.echo(f"{folder}: pip install -e {folder}, then: sage sensors check {name}")


@app.command("record")
def record(
    kind: KindArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.npz", help="Where to write.")],
    seconds: Annotated[float, typer.Option(min=0.0, help="How long.")] = 10.0,
    overrides: SetOption = None,
) -> None:
    """Record a sensor to a table. The kind `table` replays it (key: the sensor's name, time: time)."""
    from sage.app.devices.record import record_kind

    recording = record_kind(kind, overrides or (), seconds=seconds, out=out)
    typer.echo(
        f"{out}: {recording.num_readings} readings of {recording.name}, {recording.num_channels} channels"
    )
