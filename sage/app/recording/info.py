"""`sage recording info`: what is in a recording, from its index alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sage.app.recording.mcap_sink import END_NAME
from sage.app.terminal import figures
from sage.app.terminal.errors import UserError
from sage.errors import SageError
from sage.sensors.recordings.codec import SPEC_KEY
from sage.sensors.recordings.mcap_file import McapFile
from sage.sensors.recordings.recorded_stream import RUN_RECORD, end_of


def describe(path: Path) -> dict[str, Any]:
    """Plain values. run: empty for an MCAP file of another program. UserError for a file that cannot be
    read.
    """
    try:
        with McapFile(path) as file:
            metadata = file.metadata()
            statistics = file.summary.statistics
            first_ns = 0 if statistics is None else statistics.message_start_time
            return {
                "file": str(path),
                "num_bytes": path.stat().st_size,
                "num_messages": file.num_messages,
                "duration_secs": max(0, end_of(file) - first_ns) / 1e9,
                "run": metadata.get(RUN_RECORD, {}),
                "ending": metadata.get(END_NAME, {}),
                "channels": [
                    {
                        "topic": channel.topic,
                        "schema": file.schema_name(channel),
                        "num_messages": file.count_of(channel),
                        "shape": _shape(channel.metadata),
                        "unit": channel.metadata.get("unit", ""),
                    }
                    for channel in sorted(file.channels(), key=lambda each: each.topic)
                ],
            }
    except SageError as error:
        raise UserError(str(error)) from error


def render(found: dict[str, Any]) -> None:
    """To stdout, as tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    run, ending = found["run"], found["ending"]
    duration = figures.duration(found["duration_secs"])
    size = figures.num_bytes(found["num_bytes"])
    lines = [f"{found['file']}: {found['num_messages']:,} messages, {duration}, {size}"]
    if run:
        names = ("name", "session", "seed", "clock")
        lines.append(", ".join(f"{key} {run[key]}" for key in names if key in run))
    if ending:
        ticks, dropped, digest = (ending.get(key, "?") for key in ("num_ticks", "num_dropped", "digest"))
        lines.append(f"{ticks} ticks, {dropped} messages dropped, digest {digest}")
    for line in lines:
        console.print(printable(line), soft_wrap=True, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("topic", "schema", "messages", "shape", "unit"):
        table.add_column(heading, overflow="fold")
    for channel in found["channels"]:
        shape = " x ".join(map(str, channel["shape"]))
        row = (channel["topic"], channel["schema"], f"{channel['num_messages']:,}", shape, channel["unit"])
        table.add_row(*map(printable, row))
    console.print(table, markup=False, highlight=False)


def _shape(metadata: dict[str, str]) -> list[int]:
    """Empty where none is stated, or in no form that is known."""
    try:
        return [int(size) for size in json.loads(metadata[SPEC_KEY])["tensor"]["shape"]]
    except (KeyError, TypeError, ValueError):
        return []


def printable(text: str) -> str:
    """A text of a file that another program may have written: a terminal executes control characters."""
    return "".join(each if each.isprintable() else "?" for each in text)
