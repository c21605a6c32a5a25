"""`sage mailbox`: the shared mailboxes of this machine, from outside."""

from __future__ import annotations

from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, command_group

app = command_group("Look at the mailboxes between processes, and clean up after those that died.")


@app.command("ls")
def ls(json_output: JsonOption = False) -> None:
    """List them: kind, memory, who takes part, and which nobody needs any more."""
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
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One mailbox; all of them without a name.")
    ] = None,
    prometheus: Annotated[bool, typer.Option("--prometheus", help="Print Prometheus' text format.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Show their counts and latencies, without taking part in them."""
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
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove those whose creator and participants are all dead. A living process's is never touched."""
    from sage.app.terminal import figures
    from sage.mailbox.shared.memory.census import find_segments, remove_abandoned

    gone = tuple(found for found in find_segments() if found.is_abandoned) if is_dry else remove_abandoned()
    for found in gone:
        typer.echo(f"{found.name}  {figures.num_bytes(found.resident_bytes)}")
    typer.echo(f"{len(gone)} {'would be ' if is_dry else ''}removed")
