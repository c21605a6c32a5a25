"""`sage replay` and `sage recording`: recordings that `sage run --record` wrote."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sage.app.cli.options import (
    FoxgloveOption,
    JsonOption,
    NoLiveOption,
    RecordOption,
    RerunOption,
    SetOption,
    StateDirOption,
    command_group,
)
from sage.app.terminal.signals import session_signals

app = command_group("Show, check, rebuild and export recordings of sessions.")

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A recording that `sage run --record` wrote.")
]


@session_signals()
def replay(
    file: FileArgument,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="CONFIG",
            help="Another configuration: its sensors that have the name of a recorded source are replayed.",
        ),
    ] = None,
    ticks: Annotated[int | None, typer.Option(min=1, help="Stop after this many ticks.")] = None,
    overrides: SetOption = None,
    state_dir: StateDirOption = None,
    no_live: NoLiveOption = False,
    record: RecordOption = None,
    foxglove: FoxgloveOption = None,
    rerun: RerunOption = None,
    json_output: JsonOption = False,
) -> int:
    """Run the loop again on the readings of a recording, on a simulated clock, and compare the reports.

    Nothing is read from devices and nothing moves.
    """
    from sage.app.config.state_dir import open_state_dir
    from sage.app.recording.attaching import attachments
    from sage.app.recording.replay import ReplayCheck, read_run, replay_config
    from sage.app.session.run import run_session

    recorded = read_run(file)
    loaded = replay_config(recorded, config, overrides or ())
    loaded = loaded.model_copy(update={"state_dir": state_dir})
    open_state_dir(loaded.state_path)
    limit = ticks or (recorded.num_ticks if recorded.is_manual else None)
    return run_session(
        loaded,
        seconds=None if limit else recorded.duration_secs,
        ticks=limit,
        fast=True,
        live=not no_live,
        json_output=json_output,
        attached=attachments(record, foxglove=foxglove, rerun=rerun, others=(ReplayCheck(recorded),)),
    )


@app.command("info")
def info(file: FileArgument, json_output: JsonOption = False) -> None:
    """Print the run, the sources and the messages of a recording."""
    from sage.app.recording.info import describe, render

    found = describe(file)
    if json_output:
        _print(found)
        return
    render(found)


@app.command("check")
def check(file: FileArgument, json_output: JsonOption = False) -> int:
    """Read all of a recording: checksums, messages, order. Exit code 1 when something is wrong."""
    from sage.app.recording.check import check_recording

    problems, num_messages = check_recording(file)
    if json_output:
        _print({"file": str(file), "num_messages": num_messages, "problems": problems})
        return 1 if problems else 0
    for problem in problems:
        typer.echo(f"{file}: {problem}")
    if not problems:
        typer.echo(f"{file}: {num_messages:,} messages, nothing wrong")
    return 1 if problems else 0


@app.command("recover")
def recover(
    file: FileArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="File to write. Default: NAME.recovered.mcap beside it."),
    ] = None,
    json_output: JsonOption = False,
) -> int:
    """Write a whole recording from one that a crash or a full disk cut. FILE is not changed.

    Exit code 1 when intact messages are left out, as their channels are lost.
    """
    from sage.app.recording.recover import recover_recording

    recovered = recover_recording(file, out)
    code = 1 if recovered.num_unknown else 0
    if json_output:
        _print(asdict(recovered) | {"path": str(recovered.path)})
        return code
    lost = f", {recovered.num_damaged} damaged chunks left out" if recovered.num_damaged else ""
    if recovered.num_unknown:
        lost += f", {recovered.num_unknown:,} messages left out whose channels are in damaged chunks"
    end = "" if recovered.is_whole else ", its end was cut"
    typer.echo(f"{recovered.path}: {recovered.num_messages:,} messages{lost}{end}")
    return code


@app.command("export")
def export(
    file: FileArgument,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="PATH", help="Folder to write to; with --format rrd the file."),
    ],
    file_format: Annotated[
        Literal["parquet", "csv", "rrd"],
        typer.Option("--format", help="parquet or csv: tables; rrd: a file for rerun (extra `rerun`)."),
    ] = "parquet",
    json_output: JsonOption = False,
) -> None:
    """Write one table for each source, and tables of ticks, trust and events; or a file for rerun."""
    if file_format == "rrd":
        from sage.app.recording.export_rrd import export_rrd

        written = [str(export_rrd(file, out))]
    else:
        from sage.app.recording.export import export_recording

        written = [str(path) for path in export_recording(file, out, file_format)]
    if json_output:
        _print({"files": written})
        return
    typer.echo("\n".join(written))


def _print(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document))
