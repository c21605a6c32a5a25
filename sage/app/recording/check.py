"""`sage recording check`: all of a recording is read.

Invariant: the file is not changed.
"""

from __future__ import annotations

import json
from pathlib import Path

from sage.app.recording.info import printable
from sage.app.terminal.errors import UserError
from sage.errors import DataError, SageError
from sage.sensors.contract import SensorUnavailable
from sage.sensors.recordings.codec import (
    FORM_KEY,
    SPEC_KEY,
    decode_reading,
    decode_values,
    sensor_spec,
)
from sage.sensors.recordings.mcap_file import McapFile, faults, import_mcap
from sage.sensors.recordings.recorded_stream import start_of


def check_recording(path: Path) -> tuple[list[str], int]:
    """Problems, one line each, and the messages read. UserError for a file that cannot be opened."""
    problems: list[str] = []
    num_messages = 0
    try:
        file = McapFile(path)
    except SensorUnavailable as error:
        raise UserError(str(error)) from error
    with file:
        problems += _checksums(path)
        try:
            start_of(file)
            num_messages = _read_all(file, problems)
        except DataError as error:
            problems.append(str(error).removeprefix(f"{path}: "))
        else:
            if num_messages != file.num_messages:
                problems.append(f"{num_messages:,} messages, its index has {file.num_messages:,}")
    return list(map(printable, problems)), num_messages


def _checksums(path: Path) -> list[str]:
    """Of the whole data section, from the first byte on, where the file has one."""
    reader = import_mcap("mcap.stream_reader")
    try:
        with path.open("rb") as stream:
            records = reader.StreamReader(
                stream, emit_chunks=True, validate_crcs=True, record_size_limit=path.stat().st_size
            ).records
            for _ in records:
                pass
    except (*faults(), reader.CRCValidationError) as error:
        return [
            f"the file is damaged ({' '.join(str(error).split())[:120]}): run `sage recording recover {path}`"
        ]
    return []


def _read_all(file: McapFile, problems: list[str]) -> int:
    num = 0
    wrong: set[int] = set()
    specs = {
        channel.id: sensor_spec(channel.metadata[SPEC_KEY], channel.topic)
        for channel in file.channels()
        if SPEC_KEY in channel.metadata
    }
    for _, channel, record in file.messages():
        num += 1
        try:
            message = json.loads(record.data)
            if channel.id in specs:
                decode_values(message, specs[channel.id], channel.metadata.get(FORM_KEY, ""))
                decode_reading(message, captured_ns=record.publish_time, received_ns=record.log_time)
        except (SageError, ValueError) as error:
            if channel.id not in wrong:
                problems.append(f"{channel.topic}: message {num:,}: {error}")
            wrong.add(channel.id)
    return num
