"""Options that several commands share: the same name, the same meaning and the same text; groups of commands;
and what `sage sensors`, `sage effectors` and `sage environments` have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sage.app.config.registry import Group

ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped configuration.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override one key. Repeatable."),
]
TrackOption = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="KIND",
        help="Also log to wandb, trackio, tensorboard, prometheus or otel. Repeatable.",
    ),
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
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the kind, in lower case: wind.")]
IntoOption = Annotated[
    Path, typer.Option("--into", metavar="DIR", help="Folder that the package's folder is created in.")
]
RecordOption = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE.mcap", help="Record every reading and report to an MCAP file."),
]
RecordMaxBytesOption = Annotated[
    int | None,
    typer.Option(
        "--record-max-bytes",
        metavar="N",
        help="Record to a series of files of N bytes together, those of earlier sessions included; the oldest"
        " file is deleted.",
    ),
]
FoxgloveOption = Annotated[
    int | None,
    typer.Option(
        "--foxglove",
        metavar="PORT",
        min=0,
        max=65535,
        help="Serve the session live to Foxglove on this machine. Its usual port is 8765; 0: a free one.",
    ),
]
RerunOption = Annotated[
    int | None,
    typer.Option(
        "--rerun",
        metavar="PORT",
        min=0,
        max=65535,
        help="Serve the session live to rerun on this machine. Its usual port is 9876; 0: a free one.",
    ),
]
RecordJpegOption = Annotated[
    bool,
    typer.Option("--record-jpeg", help="Record pictures as JPEG: smaller, and not bit for bit."),
]
NoLiveOption = Annotated[
    bool, typer.Option("--no-live", help="Print no live view, only the summary at the end.")
]
PageOption = Annotated[
    bool, typer.Option("--page/--no-page", help="Serve the live page on 127.0.0.1 (extra `web`).")
]
PageHostOption = Annotated[
    str,
    typer.Option(
        "--host",
        help="Address of the page. Beyond 127.0.0.1 reading needs the token too, without TLS.",
    ),
]
PageNamesOption = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="NAME", help="Further name allowed in the Host header. Repeatable."),
]
PagePortOption = Annotated[
    int,
    typer.Option(
        "--port",
        min=0,
        max=65535,
        help="Port of the page; the next free one where it is in use; 0: a free one.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def command_group(about: str) -> typer.Typer:
    """A command with subcommands; without one it prints its help."""
    group = typer.Typer(help=about, rich_markup_mode=None)

    @group.callback(invoke_without_command=True)
    def _help(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return group


def print_kinds(group: Group, *, json_output: bool) -> None:
    from sage.app.devices.kinds import describe_kinds, render_kinds

    kinds = describe_kinds(group)
    if json_output:
        import dataclasses
        import json

        typer.echo(json.dumps([dataclasses.asdict(kind) for kind in kinds]))
        return
    render_kinds(kinds)


def create_package(group: Group, name: str, into: Path, write: Callable[[str, Path], object]) -> None:
    """write: creates the package of a kind in a folder. UserError for a name or a folder that will not do."""
    from sage.app.config.registry import plugins
    from sage.app.terminal.errors import UserError
    from sage.errors import InputError

    known = plugins(group)
    if name in known:
        raise UserError(f"{group} new {name}: the kind exists ({known[name].origin}): choose another name")
    folder = into / f"sage-{group.removesuffix('s')}-{name.replace('_', '-')}"
    try:
        write(name, folder)
    except (InputError, FileExistsError) as error:
        raise UserError(f"{group} new {name}: {error}") from None
    except OSError as error:
        raise UserError(
            f"{folder}: {(error.strerror or str(error)).lower()}: give a folder that can be written"
        ) from None
    typer.echo(f"Created {folder}. Next: pip install -e {folder}; sage {group} check {name}")


AllowInjectOption = Annotated[
    bool, typer.Option("--allow-inject", help="Permit `sage inject`: faults on purpose, for tests.")
]
