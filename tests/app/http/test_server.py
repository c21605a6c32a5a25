"""A real server on this machine: it starts, answers over a socket, and stops."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra web is not installed")

from sage.app.cli.main import invoke
from sage.app.http import slow_clients
from sage.app.http.server import ServeOptions, allowed_hosts, bind, build_server
from sage.app.terminal.errors import UserError

PUZZLE = ".4..1.42.23....."
TOKEN = "a-token-for-the-tests-alone"


def ask(port: int, token: str, method: str, path: str, said: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(method, path, None if said is None else json.dumps(said), headers)
    found = connection.getresponse()
    try:
        return found.status, json.loads(found.read())
    finally:
        connection.close()


def test_a_real_server_answers_many_callers_at_once(caller: Any) -> None:
    with bind("127.0.0.1", 0) as listening:
        server = build_server(caller.app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            port, found = listening.getsockname()[1], []
            said = {"puzzle": PUZZLE, "max_segments": 8}
            callers = [
                threading.Thread(target=lambda: found.append(ask(port, TOKEN, "POST", "/v1/solve", said)))
                for _ in range(8)
            ]
            for each in callers:
                each.start()
            for each in callers:
                each.join()
            assert len(found) == 8
            assert all(each == found[0] for each in found)
            assert found[0][0] == 200
            assert found[0][1]["puzzle"] == PUZZLE
            assert ask(port, "x" * 20, "GET", "/v1/models")[0] == 401
            assert ask(port, TOKEN, "GET", "/healthz") == (200, {"status": "ok", "num_failed": 0})
            raw = socket.create_connection(("127.0.0.1", port), timeout=60)
            with raw:
                raw.sendall(
                    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70_000
                )  # headers that never end
                assert raw.recv(100).startswith(b"HTTP/1.1 400")
        finally:
            server.should_exit = True
            thread.join()


def test_connections_that_send_no_whole_request_are_closed(
    caller: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_clients, "REQUEST_SECS", 0.3)
    head = f"POST /v1/solve HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
    body = "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    whole = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    with bind("127.0.0.1", 0) as listening:
        server = build_server(caller.app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            for said in ("", "GET /", head, head + body, whole + "GET /"):
                with socket.create_connection(listening.getsockname(), timeout=20) as client:
                    client.sendall(said.encode())
                    while client.recv(4096):  # until the server closes it
                        pass
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_serve_prints_its_address_and_ends_on_a_signal(
    number: signal.Signals, exit_code: int, checkpoint: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "sage",
        "serve",
        "--port",
        "0",
        "--checkpoint",
        str(checkpoint),
        "--state-dir",
        str(tmp_path),
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert process.stderr is not None
    try:
        said = next(line for line in process.stderr if "http://" in line)
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)", said).group(1))  # type: ignore[union-attr]
        token = (tmp_path / "http.token").read_text().strip()
        assert token not in said
        status, models = ask(port, token, "GET", "/v1/models")
        assert (status, models["models"][0]["name"]) == (200, "small")
        process.send_signal(number)
        assert process.wait(timeout=60) == exit_code
    finally:
        process.kill()
        process.stderr.close()


def test_a_port_in_use_is_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with bind("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        assert (
            invoke(["serve", "--port", port, "--checkpoint", str(checkpoint), "--state-dir", str(tmp_path)])
            == 2
        )
    assert "address already in use: give another --port" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["serve", "--port", "0", "--checkpoint", "./nothing", "--state-dir", str(tmp_path)]) == 2
    assert "./nothing: no such file or folder" in capsys.readouterr().err


def test_an_address_of_somebody_else_is_one_line() -> None:
    with pytest.raises(UserError, match=r"192\.0\.2\.1:0: .*: give another --port or --host"):
        bind("192.0.2.1", 0)


def test_every_address_needs_a_name_to_be_asked_for() -> None:
    with pytest.raises(UserError, match="--allow-host"):
        allowed_hosts(ServeOptions(host="0.0.0.0"))
    assert "sage.example" in allowed_hosts(ServeOptions(host="0.0.0.0", allowed_hosts=["Sage.Example:80"]))
    assert "192.0.2.7" in allowed_hosts(ServeOptions(host="192.0.2.7"))


def test_the_socket_states_its_protocol_so_that_replies_are_not_delayed() -> None:
    """asyncio sets TCP_NODELAY on what such a socket accepts, and on no other."""
    with bind("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
