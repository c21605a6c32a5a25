"""A client of the Totality service: the same requests and replies as the store itself.

Invariant: a call ends within its time limit; a request that may have been done is not sent again. Standard
library only.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

from pydantic import ValidationError

from sage.errors import InputError
from sage.related_work.totality.content import Content
from sage.related_work.totality.errors import Conflict, NotDurable, ServiceUnavailable, UnknownId
from sage.related_work.totality.messages import (
    ActivateReply,
    ActivateRequest,
    HealthReply,
    ImagineReply,
    ImagineRequest,
    PersistReply,
    ReadReply,
    RestoreReply,
    RestoreRequest,
    SleepCycleReply,
    SleepCycleRequest,
    SnapshotReply,
    WriteReply,
    WriteRequest,
)
from sage.related_work.totality.read_query import ReadQuery
from sage.related_work.totality.wall_time import seconds_text

ReplyT = TypeVar("ReplyT", bound=Content)
#: A connection that is idle for longer is opened anew: the service closes it after 5 s.
MAX_IDLE_SECS = 4.0
MAX_REPLY_BYTES = 256 << 20
_ERRORS: dict[int, type[InputError]] = {400: InputError, 404: UnknownId, 409: Conflict}


class TotalityClient:
    """url: "http://HOST:PORT".  token: None for a service that needs none.  timeout_secs: of each wait for
    the network.

    Every call raises InputError, UnknownId, Conflict or NotDurable as the store does, and
    ServiceUnavailable when there is no answer. Thread-safe; one request at a time. Close it, or use it with
    `with`.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_secs: float = 5.0) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InputError(f"url is {url!r}: {error}: give http://HOST:PORT") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise InputError(f"url is {url!r}: give http://HOST:PORT")
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._url = url
        self._connection = make(parts.hostname, port, timeout=timeout_secs)
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._lock = threading.Lock()
        self._used_at = 0.0

    def health(self) -> HealthReply:
        return self._ask("GET", "/health", HealthReply)

    def read(self, query: ReadQuery) -> ReadReply:
        given: dict[str, object] = {
            "activation_min": query.activation_min,
            "scope": query.scope,
            "order": query.order,
            "limit": query.limit,
        }
        if query.since_ns:
            given["since"] = seconds_text(query.since_ns)
        if query.cursor is not None:
            given["cursor"] = query.cursor
        return self._ask("GET", f"/totality/read?{urlencode(given)}", ReadReply)

    def imagine(self, request: ImagineRequest) -> ImagineReply:
        return self._ask("POST", "/totality/imagine", ImagineReply, request)

    def activate(self, request: ActivateRequest) -> ActivateReply:
        return self._ask("POST", "/totality/activate", ActivateReply, request)

    def write(self, request: WriteRequest) -> WriteReply:
        return self._ask("POST", "/totality/write", WriteReply, request)

    def snapshot(self) -> SnapshotReply:
        return self._ask("GET", "/totality/snapshot", SnapshotReply)

    def restore(self, request: RestoreRequest) -> RestoreReply:
        return self._ask("POST", "/totality/restore", RestoreReply, request)

    def persist(self) -> PersistReply:
        return self._ask("POST", "/totality/persist", PersistReply)

    def sleep_cycle(self, request: SleepCycleRequest) -> SleepCycleReply:
        return self._ask("POST", "/totality/sleep-cycle", SleepCycleReply, request)

    def close(self) -> None:
        """Safe to call twice; a later call connects again."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> TotalityClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, method: str, path: str, kind: type[ReplyT], request: Content | None = None) -> ReplyT:
        body = request.model_dump_json().encode() if request is not None else None
        with self._lock:
            try:
                status, content = self._exchange(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                reason = str(error) or type(error).__name__
                raise ServiceUnavailable(
                    f"{self._url}: no answer ({reason}): is the service running?"
                ) from error
        if status != 200:
            raise self._refused(status, content)
        try:
            return kind.model_validate_json(content)
        except ValidationError as error:
            raise ServiceUnavailable(f"{self._url}{path}: not a Totality service: correct the url") from error

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        now = time.monotonic()
        if now - self._used_at > MAX_IDLE_SECS:
            self._connection.close()
        self._connection.request(method, path, body, self._headers)
        response = self._connection.getresponse()
        content = response.read(MAX_REPLY_BYTES + 1)
        if len(content) > MAX_REPLY_BYTES:
            self._connection.close()
            raise http.client.HTTPException(f"a reply of more than {MAX_REPLY_BYTES} bytes")
        self._used_at = time.monotonic()
        return response.status, content

    def _refused(self, status: int, content: bytes) -> Exception:
        try:
            message = str(json.loads(content)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            return ServiceUnavailable(f"{self._url}: status {status}: no Totality service: correct the url")
        if status in _ERRORS:
            return _ERRORS[status](message)
        if status == 503:
            return NotDurable(message)
        return ServiceUnavailable(f"{self._url}: {message}")
