"""Datagrams to a service manager: a real socket receives them; one that is absent harms nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage.app.daemon.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(tmp_path / "notify"))
    made.settimeout(5)
    yield made
    made.close()


def test_messages_are_those_of_sd_notify(manager: socket.socket) -> None:
    environment = {
        "NOTIFY_SOCKET": manager.getsockname(),
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
    }
    notifier = Notifier.from_environment(environment)
    assert environment == {}  # no worker process sends in the session's name
    assert notifier.watchdog_secs == 30.0
    notifier.ready()
    notifier.status("running,\n tick 3")
    notifier.watchdog()
    notifier.stopping()
    notifier.reloading()
    found = [manager.recv(256).decode() for _ in range(5)]
    assert found[:4] == ["READY=1", "STATUS=running, tick 3", "WATCHDOG=1", "STOPPING=1"]
    first, second = found[4].split("\n")
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    notifier.close()


def test_an_abstract_socket_is_named_with_an_at_sign() -> None:
    name = f"sage-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(5)
        notifier = Notifier(f"@{name}")
        notifier.ready()
        assert manager.recv(64) == b"READY=1"
        notifier.close()


@pytest.mark.parametrize("address", ["", "/nowhere/notify"])
def test_without_a_manager_nothing_is_raised(address: str) -> None:
    notifier = Notifier(address, 5.0)
    notifier.ready()
    notifier.watchdog()
    notifier.close()
    assert notifier.is_connected is bool(address)
    assert notifier.watchdog_secs == (5.0 if address else None)


def test_the_watchdog_of_another_process_is_not_ours(manager: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    assert Notifier.from_environment(environment).watchdog_secs is None
