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
    head = f"{found['file']}: {found['num_messages']:,} messages, {duration}, {size}"
    console.print(head, soft_wrap=True, highlight=False, markup=False)
    if run:
        line = ", ".join(f"{key} {run[key]}" for key in ("name", "session", "seed", "clock") if key in run)
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if ending:
        counts = f"{ending['num_ticks']} ticks, {ending['num_dropped']} messages dropped"
        line = f"{counts}, digest {ending['digest']}"
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("topic", "schema", "messages", "shape", "unit"):
        table.add_column(heading, overflow="fold")
    for channel in found["channels"]:
        shape = " x ".join(map(str, channel["shape"]))
        table.add_row(
            channel["topic"], channel["schema"], f"{channel['num_messages']:,}", shape, channel["unit"]
        )
    console.print(table, markup=False, highlight=False)


def _shape(metadata: dict[str, str]) -> list[int]:
    if SPEC_KEY not in metadata:
        return []
    return list(json.loads(metadata[SPEC_KEY])["tensor"]["shape"])
