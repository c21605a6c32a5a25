"""JSON over HTTP with one deadline for a whole exchange, and a bound on what is read. Standard library only.

Invariants: a connection serves one exchange; redirects and proxies are not followed; no more than
`max_body_bytes` and one block are read.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from sage.errors import InputError
from sage.sensors.contract import SensorUnavailable
from sage.sensors.language.model import AskFailed

_BLOCK = 65536


def checked_url(url: str, allow_hosts: Sequence[str]) -> SplitResult:
    """InputError unless it is http or https, on loopback or a host in `allow_hosts`, without credentials."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"url is {url}: {error}: give http://HOST:PORT") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InputError(f"url is {url}: give http://HOST:PORT")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(f"url is {parts.scheme}://...{parts.hostname}...: give no user, query or fragment")
    if not _is_loopback(parts.hostname) and parts.hostname not in allow_hosts:
        raise InputError(
            f"url is {url}: {parts.hostname} is not on loopback: add it to allow_hosts, prompts go there"
        )
    return parts


class HttpTransport:
    """Posts JSON to paths under `url`. key_env: the environment variable with the bearer token, or None."""

    def __init__(self, url: SplitResult, *, key_env: str | None, max_body_bytes: int) -> None:
        self._url = url
        self._prefix = url.path.rstrip("/").removesuffix("/v1")
        self._max_body_bytes = max_body_bytes
        self._headers = {"Content-Type": "application/json", "Connection": "close"}
        if key_env is not None:
            key = os.environ.get(key_env)
            if not key:
                raise SensorUnavailable(f"the environment variable {key_env} is not set: set it to the key")
            self._headers["Authorization"] = f"Bearer {key}"
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, payload: dict[str, Any], deadline_secs: float) -> Any:
        """The reply's JSON. AskFailed for everything else."""
        deadline = time.monotonic() + deadline_secs
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=deadline_secs)
        self._connection = connection
        try:
            return self._exchange(connection, path, json.dumps(payload).encode(), deadline)
        except TimeoutError:
            raise AskFailed("timeout", f"no reply within {deadline_secs:g} s") from None
        except (http.client.HTTPException, ValueError, RecursionError) as error:
            raise AskFailed("garbage", f"the reply is no JSON over HTTP: {_first_line(error)}") from None
        except OSError as error:
            reason = error.strerror or _first_line(error)
            raise AskFailed("refused", f"{self._url.netloc}: {reason}") from None
        finally:
            connection.close()

    def close(self) -> None:
        """Ends an exchange that another thread waits for."""
        connection = self._connection
        if connection is not None:
            connection.close()

    def _exchange(
        self, connection: http.client.HTTPConnection, path: str, body: bytes, deadline: float
    ) -> Any:
        connection.connect()
        stream: socket.socket = connection.sock
        stream.settimeout(_left(deadline))
        connection.request("POST", self._prefix + path, body, self._headers)
        stream.settimeout(_left(deadline))
        with connection.getresponse() as response:
            if response.length is not None and response.length > self._max_body_bytes:
                raise AskFailed("size", f"the reply has {response.length} bytes")
            read = bytearray()
            while not response.isclosed():  # from Python 3.13 on, as soon as the announced length is read
                stream.settimeout(_left(deadline))
                block = response.read1(_BLOCK)
                read += block
                if len(read) > self._max_body_bytes:
                    raise AskFailed("size", f"the reply has more than {self._max_body_bytes} bytes")
                if not block or (response.status != http.HTTPStatus.OK and len(read) >= _BLOCK):
                    break
            if response.status != http.HTTPStatus.OK:
                text = _first_line(bytes(read[:200]).decode("utf-8", "replace"))
                raise AskFailed("status", f"{path}: status {response.status}: {text}")
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
        return json.loads(read.decode("utf-8"))


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _first_line(error: object) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
