"""`sage environments`: list the kinds of environments, check one, start a package for a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, SetOption, command_group

app = command_group("List, check and create environments.")


@app.command("list")
def list_kinds(json_output: JsonOption = False) -> None:
    """List the kinds of environments and what each one is."""
    from sage.app.devices.kinds import describe_kinds, render_kinds

    kinds = describe_kinds("environments")
    if json_output:
        import dataclasses
        import json

        typer.echo(json.dumps([dataclasses.asdict(kind) for kind in kinds]))
        return
    render_kinds(kinds)


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
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the kind, in lower case: pond.")],
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="Folder that the package's folder is created in.")
    ] = Path(),
) -> None:
    """Create a package for an environment of your own. It passes the conformance kit as it is."""
    from sage.app.config.registry import plugins
    from sage.app.terminal.errors import UserError
    from sage.errors import InputError
    from sage.sensors.testing.environment_scaffold import write_environment_package

    known = plugins("environments")
    if name in known:
        raise UserError(
            f"environments new {name}: the kind exists ({known[name].origin}): choose another name"
        )
    folder = into / f"sage-environment-{name.replace('_', '-')}"
    try:
        write_environment_package(name, folder)
    except (InputError, FileExistsError) as error:
        raise UserError(f"environments new {name}: {error}") from None
    except OSError as error:
        raise UserError(
            f"{folder}: {(error.strerror or str(error)).lower()}: give a folder that can be written"
        ) from None
    typer.echo(f"Created {folder}. Next: pip install -e {folder}; sage environments check {name}")
