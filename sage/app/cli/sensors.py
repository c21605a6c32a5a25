"""`sage sensors`: list the kinds of sensors, check one, start a package for a new one, record one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, SetOption, command_group

app = command_group("List, check, create and record sensors.")

KindArgument = Annotated[str, typer.Argument(metavar="KIND", help="A kind from `sage sensors list`.")]


@app.command("list")
def list_kinds(json_output: JsonOption = False) -> None:
    """List the kinds of sensors and what each one senses."""
    from sage.app.devices.kinds import describe_kinds, render_kinds

    kinds = describe_kinds()
    if json_output:
        import dataclasses
        import json

        typer.echo(json.dumps([dataclasses.asdict(kind) for kind in kinds]))
        return
    render_kinds(kinds)


@app.command("check")
def check(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="A kind from `sage sensors list`, or a kind of effector."),
    ],
    overrides: SetOption = None,
    json_output: JsonOption = False,
) -> int:
    """Check that a sensor or effector keeps its contract. An effector moves. Exit code 1 when a check fails.

    --set sets the kind's keys, for example --set path=log.csv.
    """
    from sage.app.devices.check import check_kind
    from sage.app.terminal.logs import only_warnings

    with only_warnings():
        return check_kind(kind, overrides or (), json_output=json_output)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the kind, in lower case: wind.")],
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="Folder that the package's folder is created in.")
    ] = Path(),
) -> None:
    """Create a package for a sensor of your own. It passes the conformance kit as it is."""
    from sage.app.config.registry import plugins
    from sage.app.terminal.errors import UserError
    from sage.errors import InputError
    from sage.sensors.testing.scaffold import write_package

    if name in plugins("sensors"):
        raise UserError(
            f"sensors new {name}: the kind exists ({plugins('sensors')[name].origin}): choose another name"
        )
    folder = into / f"sage-sensor-{name.replace('_', '-')}"
    try:
        write_package(name, folder)
    except (InputError, FileExistsError) as error:
        raise UserError(f"sensors new {name}: {error}") from None
    except OSError as error:
        raise UserError(
            f"{folder}: {(error.strerror or str(error)).lower()}: give a folder that can be written"
        ) from None
    typer.echo(f"Created {folder}. Next: pip install -e {folder}; sage sensors check {name}")


@app.command("record")
def record(
    kind: KindArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.npz", help="File to write.")],
    seconds: Annotated[float, typer.Option(min=0.0, help="Seconds to record.")] = 10.0,
    overrides: SetOption = None,
) -> None:
    """Record a sensor to a table. The kind `table` replays it (key: the sensor's name, time: time)."""
    from sage.app.devices.record import record_kind
    from sage.app.terminal.logs import only_warnings

    with only_warnings():
        recording = record_kind(kind, overrides or (), seconds=seconds, out=out)
    typer.echo(
        f"{out}: {recording.num_readings} readings of {recording.name}, {recording.num_channels} channels"
    )
