"""`sage memory`: what a state directory remembers. `sage entities`: who was right, by its entity memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sage.app.cli.options import JsonOption, StateDirOption, command_group

app = command_group("Show, search, export and forget the memories in a state directory.")

entities = command_group("Show who was right, in what context.")

TermsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Conditions: id, episode, context, salience, trust, store, mind, time, with = != < <= > >=;"
        " of puzzles also level, number, tick."
        " A time is a date (2026-01-31T12:00, UTC), unix seconds, or an age: time>10m is later than ten"
        " minutes ago.",
    ),
]


@app.command("inspect")
def inspect(state_dir: StateDirOption = None, json_output: JsonOption = False) -> None:
    """Show the stores: memories, bytes, contexts, oldest and newest, salience; and the puzzles by level."""
    import json

    from sage.app.memories.archive import open_archive
    from sage.app.memories.inspect import as_plain, render

    with open_archive(state_dir) as archive:
        typer.echo(json.dumps(as_plain(archive), allow_nan=False) if json_output else render(archive))


@app.command("search")
def search(
    terms: TermsArgument = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Number of memories, and of puzzles.")] = 10,
    state_dir: StateDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """List memories and puzzles: with id=N the most similar memories first, with time=T the nearest to it,
    else the newest.
    """
    import json
    import time

    from sage.app.memories.archive import open_archive
    from sage.app.memories.search import render
    from sage.app.memories.search import search as find
    from sage.app.memories.terms import parse_terms

    parsed = parse_terms(terms or (), time.time_ns())
    with open_archive(state_dir) as archive:
        hits = find(archive, parsed, limit)
    if json_output:
        typer.echo(json.dumps([hit.to_plain() for hit in hits], allow_nan=False))
    else:
        typer.echo(render(hits))


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Output file: .jsonl, .msgpack or .parquet.")],
    state_dir: StateDirOption = None,
) -> None:
    """Write every memory and puzzle with its arrays to a file."""
    from sage.app.memories.archive import open_archive
    from sage.app.memories.export import export as write

    with open_archive(state_dir) as archive:
        num_memories, num_puzzles = write(archive, out)
    puzzles = f", {num_puzzles} puzzles" if num_puzzles else ""
    typer.echo(f"{' '.join(str(out).split())}: {num_memories} memories{puzzles}")


@app.command("forget")
def forget(
    terms: TermsArgument = None,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only print what would be deleted.")] = False,
    state_dir: StateDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Delete the memories and puzzles that meet every condition, and what derives from them, from every
    store, journal, snapshot and the files of the next night. Entity memory and the sidecar are cleared.
    Trained weights, the metrics store and exported files are not changed.
    """
    import dataclasses
    import json
    import time

    from sage.app.memories.archive import open_archive
    from sage.app.memories.forget import forget as delete
    from sage.app.memories.terms import parse_terms

    parsed = parse_terms(terms or (), time.time_ns())
    with open_archive(state_dir) as archive:
        forgotten = delete(archive, parsed, is_dry=is_dry)
    if json_output:
        typer.echo(json.dumps({**dataclasses.asdict(forgotten), "is_dry": is_dry}))
        return
    counts = ", ".join(f"{num} of {store}" for store, num in forgotten.num_memories.items()) or "none"
    verb = "would be deleted" if is_dry else "deleted"
    typer.echo(f"{verb}: memories: {counts}; rows of journals: {forgotten.num_rows}")
    if forgotten.num_puzzles:
        puzzles = ", ".join(f"{num} of {table}" for table, num in forgotten.num_puzzles.items())
        typer.echo(f"{verb}: puzzles: {puzzles}")
    if forgotten.num_overwritten:
        typer.echo(f"{verb}: {forgotten.num_overwritten} memories of snapshots that were not in use any more")
    for folder in forgotten.folders:
        typer.echo(f"{verb}: {folder}")
    if forgotten.cleared:
        typer.echo(f"{'would be cleared' if is_dry else 'cleared'}: {', '.join(forgotten.cleared)}")
    if forgotten.num_undated:
        typer.echo(f"kept: {forgotten.num_undated} puzzles of an earlier version, whose time is not known")
    typer.echo("not changed: trained weights, the metrics store, exported files")


@entities.command("show")
def show(
    state_dir: Annotated[
        Path | None,
        typer.Argument(metavar="[STATE_DIR]", help="State directory. Default: ~/.local/state/sage."),
    ] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="Only this source.")] = None,
    json_output: JsonOption = False,
) -> None:
    """List each source and context: judgements right and wrong, and trust with its 90% interval.

    Judged are the readings of sources that others predict or that have a record of their own, the answers of
    classifiers and language models, and the solutions of teachers. A context with few judgements backs off to
    all contexts together. With trust.by_context the loop's trust moves by these records where another
    context begins.
    """
    import json

    from sage.app.memories.archive import open_archive
    from sage.app.memories.entities import as_plain, judged, render

    with open_archive(state_dir) as archive:
        found = judged(archive, source)
    typer.echo(json.dumps(as_plain(found), allow_nan=False) if json_output else render(found))
