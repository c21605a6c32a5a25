"""One connection a key, however many devices share it."""

from __future__ import annotations

import threading

import pytest

from sage.errors import InputError
from sage.sensors.connections import ConnectionPool


class Line:
    """Counts how often it was closed."""

    def __init__(self) -> None:
        self.num_closed = 0

    def close(self) -> None:
        self.num_closed += 1


def test_devices_share_one_connection_and_the_last_closes_it() -> None:
    pool = ConnectionPool()
    one, two = pool.open("port", Line), pool.open("port", Line)
    line = one.value
    assert two.value is line
    one.close()
    one.close()
    assert line.num_closed == 0
    two.close()
    assert line.num_closed == 1
    assert pool.num_open == 0
    with pool.open("port", Line) as again:
        assert again.value is not line


def test_another_key_is_another_connection() -> None:
    pool = ConnectionPool()
    with pool.open(("serial", "/dev/a"), Line) as one, pool.open(("serial", "/dev/b"), Line) as two:
        assert one.value is not two.value
        assert pool.num_open == 2


def test_a_broken_connection_is_not_given_to_the_next() -> None:
    pool = ConnectionPool()
    one, two = pool.open("port", Line), pool.open("port", Line)
    broken = one.value
    one.invalidate()
    three = pool.open("port", Line)
    assert three.value is not broken
    two.invalidate()  # of the old one: the new one stays
    assert pool.open("port", Line).value is three.value
    one.close()
    two.close()
    assert broken.num_closed == 1


def test_a_failed_connect_is_raised_and_leaves_nothing() -> None:
    pool = ConnectionPool()

    def fail() -> Line:
        raise OSError("no such port")

    with pytest.raises(OSError, match="no such port"):
        pool.open("port", fail)
    assert pool.num_open == 0
    pool.open("port", Line).close()


def test_a_connection_used_after_close_raises() -> None:
    shared = ConnectionPool().open("port", Line)
    shared.close()
    with pytest.raises(InputError, match="after close"):
        _ = shared.value


def test_threads_that_open_together_connect_once() -> None:
    pool = ConnectionPool()
    made: list[Line] = []
    barrier = threading.Barrier(8)

    def connect() -> Line:
        made.append(Line())
        return made[-1]

    def work() -> None:
        barrier.wait()
        pool.open("port", connect)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
