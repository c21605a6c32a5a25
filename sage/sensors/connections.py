"""Connections that several devices of one run share: one simulator behind six sensors, one serial line.

Invariant: at most one connection a key is open; it is closed when its last user closes. Thread-safe: each
device opens on its own driver's thread. An isolated sensor's process has a pool of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from sage.errors import InputError


class Closable(Protocol):
    """What a pool keeps: anything with `close`."""

    def close(self) -> object: ...


ConnectionT = TypeVar("ConnectionT", bound=Closable)


class SharedConnection(Generic[ConnectionT]):
    """One user's hold on a connection. Use `value` until `close`; usable with `with`."""

    def __init__(self, pool: ConnectionPool, key: Hashable, value: ConnectionT) -> None:
        self._pool = pool
        self._key = key
        self._value = value
        self._is_closed = False

    @property
    def value(self) -> ConnectionT:
        """The connection. InputError after `close`."""
        if self._is_closed:
            raise InputError(f"connection {self._key!r}: used after close: open it again")
        return self._value

    def invalidate(self) -> None:
        """The connection is broken: the next user that opens it connects anew."""
        self._pool.invalidate(self._key, self._value)

    def close(self) -> None:
        """Give it back; the last user's close ends the connection. Safe to call twice."""
        if not self._is_closed:
            self._is_closed = True
            self._pool.release(self._value)

    def __enter__(self) -> SharedConnection[ConnectionT]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ConnectionPool:
    """The connections of one run, by key, for example ("serial", "/dev/ttyUSB0")."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[Hashable, Closable] = {}
        self._num_users: dict[int, int] = {}

    def open(self, key: Hashable, connect: Callable[[], ConnectionT]) -> SharedConnection[ConnectionT]:
        """The connection of that key; `connect` is called when there is none. Its errors are raised.

        Others that open the same or another key wait while `connect` runs: give it a time limit.
        """
        with self._lock:
            value = self._by_key.get(key)
            if value is None:
                value = connect()
                self._by_key[key] = value
            self._num_users[id(value)] = self._num_users.get(id(value), 0) + 1
        return SharedConnection(self, key, value)  # type: ignore[arg-type]  # one type a key

    @property
    def num_open(self) -> int:
        """Connections that have users."""
        return len(self._num_users)

    def invalidate(self, key: Hashable, value: Closable) -> None:
        """Forget a broken connection; its users still close it."""
        with self._lock:
            if self._by_key.get(key) is value:
                del self._by_key[key]

    def release(self, value: Closable) -> None:
        """One user fewer; the last one closes it."""
        with self._lock:
            self._num_users[id(value)] -= 1
            if self._num_users[id(value)]:
                return
            del self._num_users[id(value)]
            self._by_key = {key: other for key, other in self._by_key.items() if other is not value}
        value.close()
