"""`sage recording recover`: a whole file from one that was cut.

Invariant: every record that is whole in the cut file, and whose chunk has its checksum, is in the new one;
the cut file stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.app.recording.mcap_sink import CHUNK_BYTES
from sage.app.terminal.errors import UserError
from sage.sensors.contract import SensorUnavailable
from sage.sensors.recordings.mcap_file import MAGIC, faults, import_mcap


@dataclass(slots=True, kw_only=True)
class Recovered:
    """num_damaged: chunks whose checksum differs.  is_whole: the file had its end."""

    path: Path
    num_messages: int = 0
    num_damaged: int = 0
    is_whole: bool = False


def recover_recording(path: Path, out: Path | None = None) -> Recovered:
    """out: NAME.recovered.mcap beside it when None. UserError for a file that is no MCAP file, and for an
    output that cannot be written.
    """
    target = out or path.with_name(f"{path.stem}.recovered.mcap")
    if target.resolve() == path.resolve():
        raise UserError(f"--out {target}: is the file to recover: give another name")
    _check(path)
    recovered = Recovered(path=target)
    try:
        writer_module = import_mcap("mcap.writer")
        with target.open("wb") as stream:
            writer = writer_module.Writer(stream, chunk_size=CHUNK_BYTES, enable_data_crcs=True)
            writer.start(profile="", library="sage recording recover")
            copier = _Copier(writer, recovered)
            for record in _records(path, recovered):
                copier.copy(record)
            writer.finish()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{target}: {reason}: give a file that can be written") from error
    return recovered


class _Copier:
    """Writes records again: schemas and channels once, under new numbers."""

    def __init__(self, writer: Any, recovered: Recovered) -> None:
        self._records = import_mcap("mcap.records")
        self._writer = writer
        self._recovered = recovered
        self._schemas: dict[int, int] = {0: 0}
        self._channels: dict[int, int] = {}

    def copy(self, record: Any) -> None:
        kinds, writer = self._records, self._writer
        if isinstance(record, kinds.Schema):
            if record.id not in self._schemas:
                self._schemas[record.id] = writer.register_schema(record.name, record.encoding, record.data)
        elif isinstance(record, kinds.Channel):
            if record.id not in self._channels:
                self._channels[record.id] = writer.register_channel(
                    record.topic,
                    record.message_encoding,
                    self._schemas.get(record.schema_id, 0),
                    record.metadata,
                )
        elif isinstance(record, kinds.Message):
            if record.channel_id in self._channels:
                self._recovered.num_messages += 1
                writer.add_message(
                    self._channels[record.channel_id],
                    log_time=record.log_time,
                    data=record.data,
                    publish_time=record.publish_time,
                    sequence=record.sequence,
                )
        elif isinstance(record, kinds.Metadata):
            writer.add_metadata(record.name, record.metadata)
        elif isinstance(record, kinds.Attachment):
            writer.add_attachment(
                record.create_time, record.log_time, record.name, record.media_type, record.data
            )


def _records(path: Path, recovered: Recovered) -> Iterator[Any]:
    """Every whole record, those in chunks too."""
    reader_module, records = import_mcap("mcap.stream_reader"), import_mcap("mcap.records")
    errors = (*faults(), reader_module.CRCValidationError)
    with path.open("rb") as stream:
        limit = path.stat().st_size
        reader = reader_module.StreamReader(stream, emit_chunks=True, record_size_limit=limit)
        found = iter(reader.records)
        while True:
            try:
                record = next(found, None)
            except errors:
                return
            if record is None or isinstance(record, records.DataEnd):
                recovered.is_whole = record is not None
                return
            if not isinstance(record, records.Chunk):
                yield record
                continue
            try:
                parts = reader_module.breakup_chunk(record, validate_crc=True)
            except errors:
                recovered.num_damaged += 1
                continue
            yield from parts


def _check(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            start = stream.read(len(MAGIC))
        faults()
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}: give an MCAP file") from error
    except SensorUnavailable as error:
        raise UserError(str(error)) from error
    if start != MAGIC:
        what = "the file is empty" if not start else "not an MCAP file"
        raise UserError(f"{path}: {what}: there is nothing to recover")
