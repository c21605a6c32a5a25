"""Options that several commands share: the same name, the same meaning and the same text; and groups of
commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped configuration.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override one key. Repeatable."),
]
StateDirOption = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        help="State directory: metrics, weights, snapshots. Default: ~/.local/state/sage.",
    ),
]
StateDirArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[STATE_DIR]", help="State directory of the run. Default: ~/.local/state/sage."),
]
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A shipped model, a folder, a file or a hub repository.")
]
CheckpointOption = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="MODEL",
        help="A shipped model, a folder, a file or a hub repository. Default: the shipped model that fits.",
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1, ...; auto: CUDA if available.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print no progress.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def command_group(about: str) -> typer.Typer:
    """A command with subcommands; without one it prints its help."""
    group = typer.Typer(help=about, rich_markup_mode=None)

    @group.callback(invoke_without_command=True)
    def _help(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return group
