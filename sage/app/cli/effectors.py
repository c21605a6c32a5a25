"""`sage effectors`: list the kinds of effectors, check one, start a package for a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import (
    IntoOption,
    JsonOption,
    NameArgument,
    SetOption,
    command_group,
    create_package,
    print_kinds,
)

app = command_group("List, check and create effectors.")


@app.command("list")
def list_kinds(json_output: JsonOption = False) -> None:
    """List the kinds of effectors and what each one does."""
    print_kinds("effectors", json_output=json_output)


@app.command("check")
def check(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="A kind from `sage effectors list`.")],
    overrides: SetOption = None,
    json_output: JsonOption = False,
) -> int:
    """Check that an effector keeps its contract. It moves. Exit code 1 when a check fails.

    --set sets the kind's keys, for example --set path=actions.jsonl.
    """
    from sage.app.devices.check import check_effector_kind
    from sage.app.terminal.logs import only_warnings

    with only_warnings():
        return check_effector_kind(kind, overrides or (), json_output=json_output)


@app.command("new")
def new(name: NameArgument, into: IntoOption = Path()) -> None:
    """Create a package for an effector of your own. It passes the conformance kit as it is."""
    from sage.sensors.testing.effector_scaffold import write_effector_package

    create_package("effectors", name, into, write_effector_package)
