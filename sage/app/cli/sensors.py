"""`sage sensors`: list the kinds of sensors, check one, start a package for a new one, record one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import (
    IntoOption,
    JsonOption,
    NameArgument,
    SetOption,
    StateDirArgument,
    command_group,
    create_package,
    print_kinds,
)

app = command_group("List, check, create and record sensors.")

KindArgument = Annotated[str, typer.Argument(metavar="KIND", help="A kind from `sage sensors list`.")]


@app.command("list")
def list_kinds(json_output: JsonOption = False) -> None:
    """List the kinds of sensors and what each one senses."""
    print_kinds("sensors", json_output=json_output)


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
def new(name: NameArgument, into: IntoOption = Path()) -> None:
    """Create a package for a sensor of your own. It passes the conformance kit as it is."""
    from sage.sensors.testing.scaffold import write_package

    create_package("sensors", name, into, write_package)


@app.command("record")
def record(
    kind: KindArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.npz", help="File to write.")],
    seconds: Annotated[float, typer.Option(min=0.0, max=1e9, help="Seconds to record.")] = 10.0,
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


SourceArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a source of the session.")]


@app.command("disable")
def disable(
    name: SourceArgument, state_dir: StateDirArgument = None, json_output: JsonOption = False
) -> None:
    """Close a source of the running session until `sage sensors enable`, for example to unplug it."""
    _switch("disable_source", name, state_dir, json_output, changed="disabled", unchanged="not open")


@app.command("enable")
def enable(name: SourceArgument, state_dir: StateDirArgument = None, json_output: JsonOption = False) -> None:
    """Open a source of the running session again that `sage sensors disable` closed."""
    _switch("enable_source", name, state_dir, json_output, changed="enabled", unchanged="not disabled")


def _switch(
    verb: str, name: str, state_dir: Path | None, json_output: bool, *, changed: str, unchanged: str
) -> None:
    import json

    from sage.app.config.state_dir import default_state_dir
    from sage.app.control.client import ask

    result = ask((state_dir or default_state_dir()).expanduser(), verb, name=name)
    word = changed if result["has_changed"] else f"{unchanged}, it is {result['status']}"
    typer.echo(json.dumps(result) if json_output else f"{name}: {word}")
