"""`sage environments`: list the kinds of environments, check one, start a package for a new one."""

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

app = command_group("List, check and create environments.")


@app.command("list")
def list_kinds(json_output: JsonOption = False) -> None:
    """List the kinds of environments and what each one is."""
    print_kinds("environments", json_output=json_output)


@app.command("check")
def check(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="A kind from `sage environments list`.")],
    overrides: SetOption = None,
    json_output: JsonOption = False,
) -> int:
    """Check that an environment keeps its contract. Random actions are done. Exit code 1 when a check fails.

    --set sets the kind's keys, for example --set id=CartPole-v1.
    """
    from sage.app.devices.check import check_environment_kind
    from sage.app.terminal.logs import only_warnings

    with only_warnings():
        return check_environment_kind(kind, overrides or (), json_output=json_output)


@app.command("new")
def new(name: NameArgument, into: IntoOption = Path()) -> None:
    """Create a package for an environment of your own. It passes the conformance kit as it is."""
    from sage.sensors.testing.environment_scaffold import write_environment_package

    create_package("environments", name, into, write_environment_package)
