"""MCAP files in the order of the format: chunks, each with the indexes of its messages, then the summary.

The package's own writer keeps an object a chunk: 0.9 kB with 8 channels, 3 kB with 30. Invariant: memory does
not grow with the number of chunks. Their index waits in a temporary file in the recording's folder, which has
no name, and is copied to the file's end.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage.sensors.recordings.mcap_file import MAGIC, import_mcap

#: The index of this size is in memory, a larger one in a file; it is copied in such parts.
INDEX_BYTES = 1 << 20


class McapWriter:
    """output: has `write` and `tell`, and is empty.  folder: for the temporary file.  chunk_bytes: a chunk is
    written when it has more. OSError where a write fails: nothing can be written after that.
    """

    def __init__(self, output: Any, *, folder: Path, chunk_bytes: int) -> None:
        self._records: Any = import_mcap("mcap.records")
        self._opcodes: Any = import_mcap("mcap.opcode").Opcode
        self._builder: Any = import_mcap("mcap.data_stream").RecordBuilder
        self._compress: Any = import_mcap("zstandard").compress
        self._output = output
        self._chunk_bytes = chunk_bytes
        self._crc = 0  # of what is written, from the start of the data or of the summary on
        self._chunk = self._builder()
        self._entries: dict[int, list[tuple[int, int]]] = {}  # of the chunk: channel -> (log time, place)
        self._schemas: list[Any] = []
        self._channels: list[Any] = []
        self._attachments: list[Any] = []
        self._metadata: list[Any] = []
        self._statistics = self._records.Statistics(
            attachment_count=0,
            channel_count=0,
            channel_message_counts={},
            chunk_count=0,
            message_count=0,
            message_end_time=0,
            message_start_time=0,
            metadata_count=0,
            schema_count=0,
        )
        #: Bytes of the index of the chunks, which are not in the file yet.
        self.index_bytes = 0
        self._index = tempfile.SpooledTemporaryFile(max_size=INDEX_BYTES, dir=str(folder))  # noqa: SIM115

    def start(self, library: str) -> None:
        self._put(MAGIC)
        self._write(self._records.Header(profile="", library=library))

    def register_schema(self, name: str, encoding: str, data: bytes) -> int:
        """Its number."""
        schema = self._records.Schema(id=len(self._schemas) + 1, name=name, encoding=encoding, data=data)
        self._schemas.append(schema)
        self._statistics.schema_count += 1
        schema.write(self._chunk)
        return len(self._schemas)

    def register_channel(self, topic: str, encoding: str, schema: int, metadata: Mapping[str, str]) -> int:
        """Its number. schema: 0 for none."""
        channel = self._records.Channel(
            id=len(self._channels) + 1,
            topic=topic,
            message_encoding=encoding,
            schema_id=schema,
            metadata=dict(metadata),
        )
        self._channels.append(channel)
        self._statistics.channel_count += 1
        channel.write(self._chunk)
        return len(self._channels)

    def add_metadata(self, name: str, data: Mapping[str, str]) -> None:
        place, length = self._write(self._records.Metadata(name=name, metadata=dict(data)))
        self._metadata.append(self._records.MetadataIndex(offset=place, length=length, name=name))
        self._statistics.metadata_count += 1

    def add_attachment(
        self, create_time: int, log_time: int, name: str, media_type: str, data: bytes
    ) -> None:
        fields = {"create_time": create_time, "log_time": log_time, "name": name, "media_type": media_type}
        place, length = self._write(self._records.Attachment(data=data, **fields))
        index = self._records.AttachmentIndex(offset=place, length=length, data_size=len(data), **fields)
        self._attachments.append(index)
        self._statistics.attachment_count += 1

    def add_message(
        self, channel: int, *, log_time: int, data: bytes, publish_time: int, sequence: int
    ) -> None:
        total = self._statistics
        total.message_start_time = min(
            log_time, total.message_start_time if total.message_count else log_time
        )
        total.message_end_time = max(log_time, total.message_end_time)
        total.message_count += 1
        total.channel_message_counts[channel] = total.channel_message_counts.get(channel, 0) + 1
        self._entries.setdefault(channel, []).append((log_time, self._chunk.count))
        message = self._records.Message(
            channel_id=channel, log_time=log_time, data=data, publish_time=publish_time, sequence=sequence
        )
        message.write(self._chunk)
        if self._chunk.count > self._chunk_bytes:
            self._end_chunk()

    def finish(self) -> None:
        """Write what is left, the summary and the end. The output stays open."""
        self._end_chunk()
        self._write(self._records.DataEnd(self._crc))
        start, self._crc = self._output.tell(), 0
        kinds, groups = self._opcodes, []
        groups.append(self._group(kinds.SCHEMA, self._schemas))
        groups.append(self._group(kinds.CHANNEL, self._channels))
        groups.append(self._group(kinds.STATISTICS, [self._statistics]))
        place = self._output.tell()
        self._index.seek(0)
        while part := self._index.read(INDEX_BYTES):
            self._put(part)
        groups.append((kinds.CHUNK_INDEX, place, self._output.tell() - place))
        groups.append(self._group(kinds.ATTACHMENT_INDEX, self._attachments))
        groups.append(self._group(kinds.METADATA_INDEX, self._metadata))
        offsets = self._output.tell()
        for kind, place, length in groups:
            self._write(self._records.SummaryOffset(kind, group_start=place, group_length=length))
        footer = struct.pack("<BQQQ", kinds.FOOTER, 20, start, offsets)
        self._put(footer + struct.pack("<I", zlib.crc32(footer, self._crc)) + MAGIC)
        self.close()

    def close(self) -> None:
        """Without an end. Safe to call twice."""
        self._index.close()

    def _end_chunk(self) -> None:
        """Nothing without a message: schemas and channels wait for the first."""
        if not self._entries:
            return
        data, entries = self._chunk.end(), self._entries
        self._entries = {}
        times = [log_time for each in entries.values() for log_time, _ in each]
        packed = self._compress(data)
        spans = {"message_start_time": min(times), "message_end_time": max(times), "compression": "zstd"}
        sizes = {"uncompressed_size": len(data)}
        chunk = self._records.Chunk(data=packed, uncompressed_crc=zlib.crc32(data), **spans, **sizes)
        place, length = self._write(chunk)
        begin, builder, offsets = self._output.tell(), self._builder(), {}
        for channel, records in entries.items():
            offsets[channel] = begin + builder.count
            self._records.MessageIndex(channel_id=channel, records=records).write(builder)
        indexes = builder.end()
        self._put(indexes)
        index = self._records.ChunkIndex(
            chunk_start_offset=place,
            chunk_length=length,
            message_index_offsets=offsets,
            message_index_length=len(indexes),
            compressed_size=len(packed),
            **spans,
            **sizes,
        )
        index.write(builder)
        self.index_bytes += self._index.write(builder.end())
        self._statistics.chunk_count += 1

    def _group(self, kind: int, records: list[Any]) -> tuple[int, int, int]:
        """(kind, place, length) of records that are written."""
        place, length = self._write(*records)
        return kind, place, length

    def _write(self, *records: Any) -> tuple[int, int]:
        """Where they begin, and their length."""
        builder = self._builder()
        for record in records:
            record.write(builder)
        place, data = self._output.tell(), builder.end()
        self._put(data)
        return place, len(data)

    def _put(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._output.write(data)
