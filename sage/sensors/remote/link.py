"""zenoh sessions: explicit endpoints, no multicast; a broken link is connected again by itself."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from sage.errors import DataError
from sage.mailbox.clock import Clock
from sage.sensors.contract import SensorError, SensorUnavailable
from sage.sensors.remote.clock_offset import ClockOffset
from sage.sensors.remote.wire import ROOT, check_name, key_of

#: A peer that is silent for so long is gone; its link is closed and connected again.
LEASE_MS = 2000
CONNECT_MS = 3000
QUERY_SECS = 2.0
#: Between two round trips of the clock.
SYNC_SECS = 1.0
NUM_FIRST_TRIPS = 4


def open_session(
    *, listen: Sequence[str] = (), connect: Sequence[str] = (), settings: Path | None = None
) -> Any:
    """A zenoh session. settings: a JSON5 file of zenoh's own, read first, for example with TLS certificates.

    SensorUnavailable where zenoh is missing, an endpoint is not valid, or no peer answers within 3 s.
    """
    try:
        zenoh: Any = import_module("zenoh")
    except ImportError:
        raise SensorUnavailable("zenoh is not installed: pip install 'sage-runtime[bridge]'") from None
    try:
        config = zenoh.Config() if settings is None else zenoh.Config.from_file(str(settings))
        for key, value in _settings(listen, connect).items():
            config.insert_json5(key, json.dumps(value))
        return zenoh.open(config)
    except zenoh.ZError as error:
        where = ", ".join((*listen, *connect)) or str(settings)
        raise SensorUnavailable(
            f"{where}: {_first_line(error)}: check the endpoint and the other host"
        ) from None


def _settings(listen: Sequence[str], connect: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "mode": "client" if connect and not listen else "peer",
        "scouting/multicast/enabled": False,
        "transport/link/tx/lease": LEASE_MS,
        "transport/link/tx/queue/congestion_control/drop/wait_before_drop": 0,
        "connect/retry": {"period_init_ms": 200, "period_max_ms": 1000, "period_increase_factor": 1.5},
    }
    if listen:
        found["listen/endpoints"] = list(listen)
    if connect:
        found["connect/endpoints"] = list(connect)
        found["connect/timeout_ms"] = CONNECT_MS
        found["connect/exit_on_failure"] = True
    return found


class RemoteHost:
    """One other host: a session, and the offset of its clock. Shared by the sources of that host; closed by
    the last one. SensorUnavailable where the host does not answer.
    """

    def __init__(self, name: str, endpoint: str, clock: Clock, settings: Path | None = None) -> None:
        self.name = check_name(name)
        self._clock = clock
        self._offset = ClockOffset()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._wanted = threading.Event()
        self.session = open_session(connect=(endpoint,), settings=settings)
        try:
            for _ in range(NUM_FIRST_TRIPS):
                self._trip()
            if not self._offset.is_known:
                raise SensorUnavailable(
                    f"{endpoint}: no clock of host {name} answers: start `sage bridge serve --host {name}`"
                    " there"
                )
        except BaseException:
            self.session.close()
            raise
        self._thread = threading.Thread(target=self._keep, name=f"sage-remote-{name}", daemon=True)
        self._thread.start()

    def description(self, source: str) -> bytes:
        """Of a source. SensorUnavailable where the host has none of that name."""
        found = self.ask(key_of(self.name, source, "spec"))
        if found is None:
            raise SensorUnavailable(
                f"host {self.name} has no source {source}: `sage bridge list` prints what it has"
            )
        return found

    def local_ns(self, remote_ns: int) -> int:
        """A time of that host's clock on the local one."""
        with self._lock:
            return self._offset.local(remote_ns)

    @property
    def clock_error_ns(self) -> int:
        """At most; see ClockOffset."""
        with self._lock:
            return self._offset.error_ns

    def subscribe(self, source: str, take: Callable[[Any], None]) -> Any:
        """Call `take` with every sample of a source, on a thread of zenoh, until `undeclare`."""
        return self.session.declare_subscriber(key_of(self.name, source), take)

    def sync_soon(self) -> None:
        """Measure the offset of the clocks now: a sender that began again may have another clock."""
        self._wanted.set()

    def close(self) -> None:
        self._stopped.set()
        self._wanted.set()
        self._thread.join(QUERY_SECS)
        self.session.close()

    def _keep(self) -> None:
        while True:
            self._wanted.wait(SYNC_SECS)
            self._wanted.clear()
            if self._stopped.is_set():
                return
            with contextlib.suppress(SensorError):  # the link is broken: the next trip may have an answer
                self._trip()

    def _trip(self) -> None:
        """One round trip; without an answer, none is noted."""
        sent_ns = self._clock.now_ns()
        answer = self.ask(key_of(self.name, "clock"))
        received_ns = self._clock.now_ns()
        if answer is not None and len(answer) == 8:
            with self._lock:
                self._offset.note(sent_ns, int.from_bytes(answer, "little", signed=True), received_ns)

    def ask(self, key: str) -> bytes | None:
        """The answer of the other host, None without one. SensorError where the link fails."""
        zenoh: Any = import_module("zenoh")
        try:
            for reply in self.session.get(key, timeout=QUERY_SECS):
                if reply.ok is not None:
                    return bytes(reply.ok.payload.to_bytes())
        except zenoh.ZError as error:
            raise SensorError(f"host {self.name}: {_first_line(error)}") from None
        return None


def list_sources(endpoint: str, settings: Path | None = None) -> dict[tuple[str, str], bytes]:
    """Descriptions by (host, source), of the hosts behind an endpoint. SensorUnavailable without one."""
    session = open_session(connect=(endpoint,), settings=settings)
    zenoh: Any = import_module("zenoh")
    found: dict[tuple[str, str], bytes] = {}
    try:
        for reply in session.get(f"{ROOT}/*/*/spec", timeout=QUERY_SECS):
            if reply.ok is not None:
                parts = str(reply.ok.key_expr).split("/")
                if len(parts) != 5:
                    raise DataError(f"{reply.ok.key_expr}: expected {ROOT}/HOST/SOURCE/spec")
                found[parts[2], parts[3]] = bytes(reply.ok.payload.to_bytes())
    except zenoh.ZError as error:
        raise SensorUnavailable(f"{endpoint}: {_first_line(error)}: check the other host") from None
    finally:
        session.close()
    return found


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:160]
