"""One Totality for all devices of a run: a store in memory, a store in a folder, or a service.

Invariant: devices with equal settings share one; the last one that closes it closes the store.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from pydantic import ConfigDict, Field, model_validator

from sage.errors import InputError, SageError
from sage.related_work.totality.client import TotalityClient
from sage.related_work.totality.messages import (
    ActivateReply,
    ActivateRequest,
    ImagineReply,
    ImagineRequest,
    ReadReply,
    WriteReply,
    WriteRequest,
)
from sage.related_work.totality.persistence import TotalityFolder
from sage.related_work.totality.read_query import ReadQuery
from sage.related_work.totality.store import TotalityStore
from sage.related_work.totality.wall_time import WallClock
from sage.sensors.connections import SharedConnection
from sage.sensors.contract import SensorContext
from sage.sensors.time_limits import TimeLimited

#: Between two looks at the length of the journal.
CHECK_SECS = 5.0


class Totality(Protocol):
    """What a store and a client have in common."""

    def read(self, query: ReadQuery) -> ReadReply: ...

    def imagine(self, request: ImagineRequest) -> ImagineReply: ...

    def activate(self, request: ActivateRequest) -> ActivateReply: ...

    def write(self, request: WriteRequest) -> WriteReply: ...


class TotalityPlace(TimeLimited):
    """Where the store is. store: a folder of this process.  url: a service.  Neither: in memory, for this
    run.

    token_file: of the service's token, e.g. STATE_DIR/http.token.  request_secs: each wait for the service.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    store: Path | None = None
    url: str | None = Field(None, min_length=1)
    token_file: Path | None = None
    request_secs: float = Field(0.5, gt=0)

    @model_validator(mode="after")
    def _one_place(self) -> TotalityPlace:
        if self.store is not None and self.url is not None:
            raise InputError("store and url are both given: give one of them, or none")
        if self.token_file is not None and self.url is None:
            raise InputError("token_file is given without url: give the url of the service")
        return self


class OpenTotality:
    """A Totality and what closing it takes. The journal of one in a folder is shortened when it is long, on a
    thread of its own: a snapshot is written to the disk.
    """

    def __init__(self, totality: Totality, closable: TotalityFolder | TotalityClient | None) -> None:
        self.totality = totality
        self._closable = closable
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        if isinstance(closable, TotalityFolder):
            self._thread = threading.Thread(
                target=self._keep_short, args=(closable,), name="totality-persist", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        if self._closable is not None:
            self._closable.close()

    def _keep_short(self, folder: TotalityFolder) -> None:
        """Until `close`, and once more then."""
        is_over = False
        while not is_over:
            is_over = self._stopped.wait(CHECK_SECS)
            try:
                folder.persist_if_long()
            except (OSError, SageError) as error:
                import structlog  # for what seldom happens

                structlog.get_logger("sage.sensors").error(
                    "totality store: no snapshot, the journal grows: free some space", error=str(error)
                )


def open_totality(place: TotalityPlace, context: SensorContext) -> SharedConnection[OpenTotality]:
    """Raises InputError where the folder or the token cannot be used, OSError for one that cannot be read."""
    key = ("totality", str(place.store), place.url, str(place.token_file))
    return context.connections.open(key, lambda: _connect(place, context))


def note_failure(place: TotalityPlace, shared: SharedConnection[OpenTotality]) -> bool:
    """After a request that failed: whether the connection is to be opened anew, as that to a service, which
    may have another token then. A store of this process stays: it has what the others read.
    """
    if place.url is None:
        return False
    shared.invalidate()
    return True


def _connect(place: TotalityPlace, context: SensorContext) -> OpenTotality:
    if place.url is not None:
        token = None
        if place.token_file is not None:
            path = context.base_dir / place.token_file.expanduser()
            try:
                token = path.read_text(encoding="ascii").strip()
            except UnicodeDecodeError:
                raise InputError(f"{path}: not ASCII text: give the file with the service's token") from None
        client = TotalityClient(place.url, token=token, timeout_secs=place.request_secs)
        return OpenTotality(client, client)
    clock = WallClock(context.clock)
    if place.store is not None:
        folder = TotalityFolder(context.base_dir / place.store.expanduser(), clock.now_ns)
        return OpenTotality(folder.store, folder)
    return OpenTotality(TotalityStore(clock.now_ns), None)
