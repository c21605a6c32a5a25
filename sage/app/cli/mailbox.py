"""`sage mailbox`: the mailboxes between processes on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, command_group

app = command_group("Show the mailboxes between processes, and remove those of dead processes.")


@app.command("ls")
def ls(json_output: JsonOption = False) -> None:
    """List the mailboxes: kind, memory, participants, and whether all of them are dead."""
    import dataclasses
    import json

    from sage.app.devices.mailboxes import render_found
    from sage.mailbox.shared.memory.census import find_segments

    found = find_segments()
    if json_output:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in found]))
        return
    render_found(found)


@app.command("stat")
def stat(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A mailbox. Default: all.")] = None,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print in the text format of Prometheus.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Show counts and latencies. Reading them does not change the mailboxes."""
    from sage.app.devices.mailboxes import read_snapshot, render_snapshot

    snapshot = read_snapshot(name)
    if prometheus:
        from sage.mailbox.exposition import prometheus_text

        typer.echo(prometheus_text(snapshot), nl=False)
    elif json_output:
        import dataclasses
        import json

        typer.echo(json.dumps(dataclasses.asdict(snapshot)))
    else:
        render_snapshot(snapshot)


@app.command("clean")
def clean(
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Remove the mailboxes whose creator and participants are all dead."""
    from sage.app.terminal import figures
    from sage.mailbox.shared.memory.census import find_segments, remove_abandoned

    gone = tuple(found for found in find_segments() if found.is_abandoned) if is_dry else remove_abandoned()
    if json_output:
        import json

        typer.echo(json.dumps([{"name": found.name, "bytes": found.resident_bytes} for found in gone]))
        return
    for found in gone:
        typer.echo(f"{found.name}  {figures.num_bytes(found.resident_bytes)}")
    typer.echo(f"{len(gone)} {'would be ' if is_dry else ''}removed")
