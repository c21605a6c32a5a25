"""Messages as a stream of rerun: a file, or a server that viewers on this machine connect to.

Invariant: each message has the timelines `session_time` (since the start of the session), `log_time` (when
the session got it) and `publish_time` (when the device measured it), and `tick` where it is of a tick.
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from typing import Any

import numpy as np

from sage.app.recording.channels import ChannelSpec
from sage.app.recording.rerun_entities import Entities, entities_of
from sage.app.recording.rerun_layout import SESSION_TIME, layout_of
from sage.app.recording.rerun_package import import_rerun, new_stream
from sage.app.terminal.errors import UserError

#: What the server keeps for viewers that connect later, then the oldest goes: it takes up to 2.4 times that.
SERVER_MEMORY = "128MiB"
#: Bytes of messages after which the server must have taken them, and how long that is waited for.
MAX_WAITING_BYTES, TAKEN_SECS = 16 << 20, 1.0
#: How long is waited for the server to start.
START_SECS = 5.0
_HOST = "127.0.0.1"


class RerunSink:
    """stream: a RecordingStream with its sink. Used by one thread. The layout is sent before the first
    message.
    """

    def __init__(self, rerun: Any, stream: Any) -> None:
        self._rerun = rerun
        self._stream = stream
        self._start_ns = 0
        self._channels: list[Entities | None] = []
        self._has_layout = False

    def begin(self, start_ns: int) -> None:
        """start_ns: wall time of the session's start."""
        self._start_ns = start_ns
        self._stream.send_recording_start_time_nanos(start_ns)

    def add_channel(self, channel: ChannelSpec) -> int:
        self._channels.append(entities_of(self._rerun, channel))
        return len(self._channels) - 1

    def wants(self, channel: int) -> bool:
        return self._channels[channel] is not None

    def write(self, channel: int, data: bytes, *, log_ns: int, publish_ns: int, sequence: int) -> None:
        """KeyError, TypeError, ValueError or OverflowError for a message that is damaged."""
        entities = self._channels[channel]
        if entities is None:
            return
        if not self._has_layout:
            self._has_layout = True
            shown = [each for each in self._channels if each is not None]
            self._stream.send_blueprint(layout_of(self._rerun.blueprint, shown))
        message = json.loads(data)
        stream, tick = self._stream, entities.tick_of(message)
        stream.reset_time()
        stream.set_time(SESSION_TIME, duration=np.timedelta64(log_ns - self._start_ns, "ns"))
        stream.set_time("log_time", timestamp=np.datetime64(log_ns, "ns"))
        stream.set_time("publish_time", timestamp=np.datetime64(publish_ns, "ns"))
        if tick is not None:
            stream.set_time("tick", sequence=tick)
        for entry in entities.entries(message):
            stream.log(entry.path, *entry.data, static=entry.is_static, strict=True)


class RerunServer(RerunSink):
    """A gRPC server on 127.0.0.1. port: 0 for a free one. UserError for a port that is taken, and without the
    package rerun-sdk.

    A viewer that is connected and does not read stops the server, and rerun has no bound for what waits for
    it. Then messages are left out, and counted, until it reads again.
    """

    def __init__(self, port: int, *, name: str = "sage") -> None:
        option = f"--rerun {port}"
        rerun = import_rerun("--rerun")
        stream = new_stream(rerun, option)
        try:
            #: The port that it listens on.
            self.port = _free_port(port)
            stream.set_sinks(rerun.GrpcServerSink(_HOST, self.port, server_memory_limit=SERVER_MEMORY))
            stream.flush(timeout_sec=START_SECS)  # an error where it could not listen
        except (OSError, RuntimeError, ValueError) as error:
            stream.disconnect()
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"{option}: {reason.lower()}: give another port, or 0 for a free one") from error
        stream.send_recording_name(name)
        super().__init__(rerun, stream)
        self.num_left_out = 0
        self._num_waiting = 0
        self._retry_at: float | None = None  # of a server that is stopped

    @property
    def address(self) -> str:
        return f"rerun+http://{_HOST}:{self.port}/proxy"

    def wants(self, channel: int) -> bool:
        if self._retry_at is not None and time.monotonic() >= self._retry_at:
            self._wait()
        if self._retry_at is not None:
            self.num_left_out += 1
            return False
        return super().wants(channel)

    def write(self, channel: int, data: bytes, *, log_ns: int, publish_ns: int, sequence: int) -> None:
        super().write(channel, data, log_ns=log_ns, publish_ns=publish_ns, sequence=sequence)
        self._num_waiting += len(data)
        if self._num_waiting > MAX_WAITING_BYTES:
            self._wait()

    def close(self, ending: dict[str, str]) -> None:
        """Stop the server; what a viewer has not read by then is lost. Safe to call twice."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(RuntimeError):
                stream.flush(timeout_sec=TAKEN_SECS)
            stream.disconnect()

    def _wait(self) -> None:
        """For the server to take what was written."""
        try:
            self._stream.flush(timeout_sec=TAKEN_SECS)
        except RuntimeError:
            self._retry_at = time.monotonic() + TAKEN_SECS
        else:
            self._num_waiting, self._retry_at = 0, None


def _free_port(port: int) -> int:
    """A port of loopback that can be listened on: rerun reports neither a free one's number, nor one that is
    taken. OSError for the latter.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as rerun's server
        probe.bind((_HOST, port))
        return int(probe.getsockname()[1])
