"""A WebSocket server for Foxglove on this machine: the channels of a recording, as they come.

Invariant: only loopback is bound. A message is made only for channels that a client has subscribed to; a slow
client loses its oldest messages, and nothing else waits for it.
"""

from __future__ import annotations

import json
from typing import Any

from sage.app.recording.channels import ChannelSpec
from sage.app.terminal.errors import UserError

#: Messages that wait for one client.
BACKLOG = 1024


class FoxgloveSink:
    """port: 0 for a free one. UserError for a port that is taken, and without the package foxglove-sdk."""

    num_left_out = 0  # what a slow client loses is its own

    def __init__(self, port: int, *, name: str = "sage") -> None:
        try:
            import foxglove
        except ImportError as error:
            raise UserError(
                "--foxglove needs the package foxglove-sdk: pip install 'sage-runtime[foxglove]'"
            ) from error
        self._foxglove = foxglove
        self._context = foxglove.Context()
        self._channels: list[Any] = []
        try:
            self._server: Any = foxglove.start_server(
                name=name,
                host="127.0.0.1",
                port=port,
                capabilities=[],
                context=self._context,
                message_backlog_size=BACKLOG,
            )
        except (RuntimeError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"--foxglove {port}: {reason}: give another port, or 0 for a free one") from error
        #: The port that it listens on.
        self.port = int(self._server.port)

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def begin(self, start_ns: int) -> None:
        """Nothing: its viewers show wall time."""

    def add_channel(self, channel: ChannelSpec) -> int:
        schema = self._foxglove.Schema(
            name=channel.schema_name, encoding="jsonschema", data=json.dumps(channel.schema).encode()
        )
        made = self._foxglove.Channel(
            channel.topic,
            schema=schema,
            message_encoding="json",
            context=self._context,
            metadata=dict(channel.metadata),
        )
        self._channels.append(made)
        return len(self._channels) - 1

    def wants(self, channel: int) -> bool:
        return bool(self._channels[channel].has_sinks())

    def write(self, channel: int, data: bytes, *, log_ns: int, publish_ns: int, sequence: int) -> None:
        self._channels[channel].log(data, log_time=log_ns)

    def close(self, ending: dict[str, str]) -> None:
        """Stop the server. Safe to call twice."""
        channels, self._channels = self._channels, []
        for channel in channels:
            channel.close()
        self._server.stop()
