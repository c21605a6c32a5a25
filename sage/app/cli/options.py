"""Options that several commands share, so that they mean and say the same everywhere; and groups of
commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped one.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY.PATH=VALUE",
        help="Override a key, e.g. sensors.cpu.period_secs=0.5. Repeatable.",
    ),
]
StateDirOption = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", metavar="DIR", help="Where a run keeps what it keeps; the platform's place by default."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def command_group(about: str) -> typer.Typer:
    """A command with commands of its own; without one it prints its help."""
    group = typer.Typer(help=about, rich_markup_mode=None)

    @group.callback(invoke_without_command=True)
    def _help(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return group
