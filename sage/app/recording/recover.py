"""`sage recording recover`: a whole file from one that was cut or damaged.

Invariant: every message that is whole in the file, and whose chunk has its checksum, is in the new one, or
counted where its channel is lost; the file stays as it is. A file that has its index is read by it, so that
damage between two records costs neither; one without is read from its start to the first record that is not
whole.
"""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sage.app.recording.channel_table import CHANNEL_NAME, ChannelTable, channel_of
from sage.app.recording.mcap_sink import CHUNK_BYTES
from sage.app.recording.mcap_writer import McapWriter
from sage.app.terminal.errors import UserError
from sage.durable import replacing
from sage.sensors.contract import SensorUnavailable
from sage.sensors.recordings.mcap_file import MAGIC, McapFile, faults, import_mcap

#: Before each record: its kind, and its length in bytes.
_HEAD = struct.Struct("<BQ")


@dataclass(slots=True, kw_only=True)
class Recovered:
    """num_damaged: chunks, and other records that the index has, that are damaged.  num_unknown: messages
    whose channels are lost.  is_whole: the file had its end.
    """

    path: Path
    num_messages: int = 0
    num_damaged: int = 0
    num_unknown: int = 0
    is_whole: bool = False


def recover_recording(path: Path, out: Path | None = None) -> Recovered:
    """out: NAME.recovered.mcap beside it when None; it is complete or stays as it was. UserError for a file
    that is no MCAP file, and for an output that cannot be written.
    """
    target = out or path.with_name(f"{path.stem}.recovered.mcap")
    if target.resolve() == path.resolve():
        raise UserError(f"--out {target}: is the file to recover: give another name")
    _check(path)
    recovered = Recovered(path=target)
    try:
        with replacing(target) as partial, partial.open("wb") as stream:
            writer = McapWriter(stream, folder=target.absolute().parent, chunk_bytes=CHUNK_BYTES)
            writer.start("sage recording recover")
            copier = _Copier(writer, recovered)
            summary = _summary(path)
            if summary is not None:
                for record in (*summary.schemas.values(), *summary.channels.values()):
                    copier.copy(record)
            for record in _records(path, summary, recovered):
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
        self._table = ChannelTable(writer)
        self._schemas: dict[int, Any] = {}
        self._channels: dict[int, int] = {}

    def copy(self, record: Any) -> None:
        kinds, writer = self._records, self._writer
        if isinstance(record, kinds.Schema):
            self._schemas.setdefault(record.id, record)
        elif isinstance(record, kinds.Channel):
            self._add(record, self._schemas.get(record.schema_id))
        elif isinstance(record, kinds.Message):
            self._copy_message(record)
        elif isinstance(record, kinds.Metadata):
            if record.name == CHANNEL_NAME:
                self._copy_channel(record.metadata)
            else:
                writer.add_metadata(record.name, record.metadata)
        elif isinstance(record, kinds.Attachment):
            writer.add_attachment(
                record.create_time, record.log_time, record.name, record.media_type, record.data
            )

    def _copy_channel(self, plain: dict[str, str]) -> None:
        """Of its metadata record; nothing where that is damaged: the channel is in a chunk too."""
        try:
            self._add(*channel_of(plain, self._records))
        except (KeyError, ValueError):
            return

    def _copy_message(self, record: Any) -> None:
        if record.channel_id not in self._channels:
            self._recovered.num_unknown += 1
            return
        self._recovered.num_messages += 1
        self._writer.add_message(
            self._channels[record.channel_id],
            log_time=record.log_time,
            data=record.data,
            publish_time=record.publish_time,
            sequence=record.sequence,
        )

    def _add(self, channel: Any, schema: Any) -> None:
        if channel.id not in self._channels:
            self._channels[channel.id] = self._table.register(
                channel.topic, channel.message_encoding, schema, channel.metadata
            )


def _summary(path: Path) -> Any:
    """None for a file without an index, or with a damaged one."""
    try:
        with McapFile(path) as file:
            return file.summary
    except SensorUnavailable:
        return None


def _heads(summary: Any) -> dict[int, bytes]:
    """Of the chunks, attachments and metadata records: where each begins, and its head. Empty without an
    index.
    """
    if summary is None:
        return {}
    kinds = import_mcap("mcap.opcode").Opcode
    found = [(each.chunk_start_offset, kinds.CHUNK, each.chunk_length) for each in summary.chunk_indexes]
    found += [(each.offset, kinds.ATTACHMENT, each.length) for each in summary.attachment_indexes]
    found += [(each.offset, kinds.METADATA, each.length) for each in summary.metadata_indexes]
    return {place: _HEAD.pack(kind, length - _HEAD.size) for place, kind, length in found}


def _records(path: Path, summary: Any, recovered: Recovered) -> Iterator[Any]:
    """Every whole record, those in chunks too. After damage the next one that the index has."""
    heads, size = _heads(summary), path.stat().st_size
    starts = [*sorted(heads), size]
    data_end = import_mcap("mcap.records").DataEnd
    recovered.is_whole = summary is not None
    place = len(MAGIC)
    with path.open("rb") as stream:
        while place < size:
            following = starts[bisect_right(starts, place)]
            parts, end = _parts(stream, place, following, heads.get(place))
            if parts is None:
                recovered.num_damaged += place in heads or (not heads and end < following)
                place = following if heads else end
                continue
            if any(isinstance(part, data_end) for part in parts):
                recovered.is_whole = True
                return
            yield from parts
            place = end


def _parts(stream: IO[bytes], place: int, limit: int, expected: bytes | None) -> tuple[list[Any] | None, int]:
    """The record at a place, or those in the chunk there, and its end; None for one that is damaged. The end
    is `limit` where it would be beyond. expected: its head, where the index has it.
    """
    reader_module = import_mcap("mcap.stream_reader")
    stream.seek(place)
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size or head != (expected or head):
        return None, limit
    kind, length = _HEAD.unpack(head)
    end = place + _HEAD.size + length
    if end > limit:
        return None, limit
    if kind not in set(import_mcap("mcap.opcode").Opcode):
        return [], end
    record = io.BytesIO(head + stream.read(length))
    reader = reader_module.StreamReader(record, skip_magic=True, emit_chunks=True, record_size_limit=None)
    try:
        found = next(reader.records)
        if isinstance(found, import_mcap("mcap.records").Chunk):
            return list(reader_module.breakup_chunk(found, validate_crc=True)), end
    except (*faults(), reader_module.CRCValidationError):
        return None, end
    return [found], end


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
