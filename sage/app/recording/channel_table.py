"""Schemas and channels of an MCAP file that is being written.

Invariant: each channel is written twice: in a chunk, as the package does it, and before that in a metadata
record, outside of all chunks. So a chunk that is damaged costs no channel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: Name of the metadata records.
CHANNEL_NAME = "sage.channel"


class ChannelTable:
    """writer: of the package mcap. Schemas of one name and content are written once."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._schemas: dict[tuple[str, str, bytes], int] = {}

    def register(self, topic: str, encoding: str, schema: Any, metadata: Mapping[str, str]) -> int:
        """The channel's number in the file. schema: its record; None for a channel without one."""
        number: int = self._writer.register_channel(topic, encoding, self._number_of(schema), dict(metadata))
        plain = {"id": str(number), "topic": topic, "encoding": encoding, "metadata": json.dumps(metadata)}
        if schema is not None:
            plain |= {
                "schema": schema.name,
                "schema_encoding": schema.encoding,
                "schema_data": schema.data.decode("latin-1"),
            }
        self._writer.add_metadata(CHANNEL_NAME, plain)
        return number

    def _number_of(self, schema: Any) -> int:
        if schema is None:
            return 0
        key = (schema.name, schema.encoding, schema.data)
        if key not in self._schemas:
            self._schemas[key] = self._writer.register_schema(*key)
        return self._schemas[key]


def channel_of(plain: Mapping[str, str], records: Any) -> tuple[Any, Any]:
    """The records of a channel and of its schema (None without one), from the channel's metadata record.

    records: the module mcap.records. KeyError or ValueError for a damaged record.
    """
    schema = None
    if "schema" in plain:
        data = plain["schema_data"].encode("latin-1")
        schema = records.Schema(id=1, name=plain["schema"], encoding=plain["schema_encoding"], data=data)
    channel = records.Channel(
        id=int(plain["id"]),
        topic=plain["topic"],
        message_encoding=plain["encoding"],
        metadata=json.loads(plain["metadata"]),
        schema_id=0 if schema is None else 1,
    )
    return channel, schema
