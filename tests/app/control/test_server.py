"""The control socket: whatever is at the other end, a client gets one line, and the server serves on."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sage.app.cli.main import invoke
from sage.app.control import server as server_module
from sage.app.control.client import ask
from sage.app.control.messages import MAX_LINE_BYTES, SOCKET_NAME, decoded, encoded, socket_address
from sage.app.control.server import MAX_CLIENTS, ControlServer
from sage.app.terminal.errors import UserError


def fail(request: dict[str, Any]) -> dict[str, Any]:
    raise ZeroDivisionError("a defect")


def refuse(request: dict[str, Any]) -> dict[str, Any]:
    raise UserError("status: not now: ask later")


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """As long as a path may be: longer than a socket's address."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    return folder


@pytest.fixture
def server(state_dir: Path) -> Iterator[ControlServer]:
    verbs = {"echo": lambda request: {"said": request.get("text")}, "fail": fail, "refuse": refuse}
    with ControlServer(state_dir, verbs) as serving:
        yield serving


@contextlib.contextmanager
def connected(state_dir: Path) -> Iterator[Any]:
    with socket_address(state_dir) as address, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(address)
        with client.makefile("rwb", buffering=0) as stream:
            yield stream


@pytest.mark.usefixtures("server")
def test_a_verb_is_asked_and_the_socket_is_for_this_user_alone(state_dir: Path):
    assert ask(state_dir, "echo", text="hello") == {"said": "hello"}
    assert stat.S_IMODE((state_dir / SOCKET_NAME).stat().st_mode) == 0o600


def test_a_verb_may_be_added_while_it_serves(server: ControlServer, state_dir: Path):
    with pytest.raises(UserError, match="snapshot: unknown verb"):
        ask(state_dir, "snapshot")
    server.register("snapshot", lambda request: {"tick": 7})
    assert ask(state_dir, "snapshot") == {"tick": 7}


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("verb", "line"), [("refuse", "not now: ask later"), ("fail", "fail: ZeroDivisionError")]
)
def test_what_a_verb_raises_is_one_line(state_dir: Path, verb: str, line: str):
    with pytest.raises(UserError, match=line) as caught:
        ask(state_dir, verb)
    assert "\n" not in str(caught.value)
    assert ask(state_dir, "echo", text=1) == {"said": 1}


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"\x00\xff garbage\n", "not JSON"),
        (b"[" * 10_000 + b"\n", "not JSON"),
        (b"[1, 2]\n", "not a JSON object"),
        (b'{"version": 99, "verb": "echo"}\n', "version is 99: this SAGE uses 1"),
        (b'{"verb": "echo"}\n', "version is None"),
        (b"x" * (MAX_LINE_BYTES + 5) + b"\n", f"longer than {MAX_LINE_BYTES} bytes"),
    ],
)
def test_what_is_no_message_gets_its_reason_and_ends_that_client_alone(
    state_dir: Path, sent: bytes, answered: str
):
    with connected(state_dir) as other:
        with connected(state_dir) as client, contextlib.suppress(ConnectionError):
            client.write(sent)
            reply = decoded(client.readline())
            assert reply["ok"] is False
            assert answered in reply["error"]
            assert client.readline() == b""
        other.write(encoded({"verb": "echo", "text": "still here"}))
        assert decoded(other.readline())["result"] == {"said": "still here"}


@pytest.mark.usefixtures("server")
def test_several_requests_on_one_connection_and_an_unknown_verb_between(state_dir: Path):
    with connected(state_dir) as client:
        client.write(encoded({"verb": "eco"}))
        assert "unknown verb" in decoded(client.readline())["error"]
        client.write(encoded({"verb": ["echo"]}))
        assert "unknown verb" in decoded(client.readline())["error"]
        client.write(encoded({"verb": "echo", "text": 2}))
        assert decoded(client.readline())["ok"] is True


@pytest.mark.usefixtures("server")
def test_one_client_too_many_is_refused_and_the_others_are_served(state_dir: Path):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(state_dir)) for _ in range(MAX_CLIENTS)]
        for client in clients:
            client.write(encoded({"verb": "echo"}))
            assert decoded(client.readline())["ok"] is True
        with pytest.raises(UserError, match=f"{MAX_CLIENTS} clients are connected"):
            ask(state_dir, "echo")
        clients[0].write(encoded({"verb": "echo"}))
        assert decoded(clients[0].readline())["ok"] is True


@pytest.mark.usefixtures("server")
def test_a_client_of_another_user_is_refused(state_dir: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module.os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(UserError, match="may not control this session"):
        ask(state_dir, "echo")


def test_a_silent_client_is_cut_off(state_dir: Path):
    with ControlServer(state_dir, {}, idle_secs=0.05), connected(state_dir) as client:
        assert client.readline() == b""


def test_without_an_open_file_left_it_serves_again_later(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An estop must reach the session also after the machine was out of open files for a time."""
    left = [OSError(24, "Too many open files"), ConnectionAbortedError(103, "Connection aborted")]
    accept = socket.socket.accept

    def accepted(self: socket.socket) -> Any:
        if left:
            raise left.pop()
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", accepted)
    monkeypatch.setattr(server_module, "RETRY_SECS", 0.01, raising=False)
    with ControlServer(state_dir, {"echo": lambda request: {}}):
        assert ask(state_dir, "echo") == {}
    assert not left


def test_at_the_end_the_socket_is_gone_and_no_thread_accepts(state_dir: Path):
    threads = set(threading.enumerate())
    with ControlServer(state_dir, {}):
        pass
    assert not (state_dir / SOCKET_NAME).exists()
    assert set(threading.enumerate()) <= threads


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert invoke(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


VERBS = ["status", "pause", "resume", "estop", "arm"]


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_session_a_command_is_one_line(verb: str, tmp_path: Path, capsys):
    assert "no session is running here" in refused([verb, str(tmp_path)], capsys)
    assert "no session is running here" in refused([verb, str(tmp_path / "missing")], capsys)


def test_before_the_socket_is_there_a_session_is_starting(tmp_path: Path, capsys):
    (tmp_path / "running").write_text(f"{os.getpid()}\n")
    assert "is starting, or ending: ask again" in refused(["status", str(tmp_path)], capsys)
    (tmp_path / "running").write_text("not a number")
    assert "no session is running here" in refused(["status", str(tmp_path)], capsys)


@pytest.mark.parametrize("verb", VERBS)
def test_a_socket_that_a_crash_left_is_one_line(verb: str, tmp_path: Path, capsys):
    with socket_address(tmp_path) as address, socket.socket(socket.AF_UNIX) as left:
        left.bind(address)
    assert "did not end cleanly" in refused([verb, str(tmp_path)], capsys)
    with ControlServer(tmp_path, {"echo": lambda request: {}}):
        assert ask(tmp_path, "echo") == {}


def test_a_file_in_place_of_the_socket_is_one_line(tmp_path: Path, capsys):
    (tmp_path / SOCKET_NAME).write_text("not a socket")
    assert "no session is running here" in refused(["status", str(tmp_path)], capsys)
    with pytest.raises(UserError, match="not a socket: move it away"), ControlServer(tmp_path, {}):
        pass


def test_no_permission_is_one_line(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    """As root no file is out of reach: what the kernel answers others is raised here."""

    def denied(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", denied)
    assert "permission denied" in refused(["status", str(tmp_path)], capsys)


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (b"garbage\n", "the reply is not JSON"),
        (b"", "closed the connection"),
        (b'{"version": 1, "ok": true}\n', "no result"),
    ],
)
def test_a_reply_that_is_none_is_one_line(tmp_path: Path, capsys, reply: bytes, line: str):
    with socket_address(tmp_path) as address, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(1)

        def answer() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(1000)
                client.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        assert line in refused(["status", str(tmp_path)], capsys)
        thread.join()


def test_a_session_that_does_not_reply_is_one_line(tmp_path: Path):
    with socket_address(tmp_path) as address, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(1)
        with pytest.raises(UserError, match=r"no reply within 0\.05 s"):
            ask(tmp_path, "status", reply_secs=0.05)
