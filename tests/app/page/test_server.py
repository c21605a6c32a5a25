"""The page's server on a socket, and its opening."""

from __future__ import annotations

import json
import socket
import stat
import threading
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path
from typing import Any

import pytest

from sage.app.control.server import ControlServer
from sage.app.http.server import need_web
from sage.app.page import opening
from sage.app.page.endpoints import Endpoints
from sage.app.page.history import CACHE_SECS, History
from sage.app.page.opening import LINK_NAME, PageOptions, opened_page
from sage.app.page.server import PageServer
from sage.app.terminal.errors import UserError

TOKEN = "a-token-for-the-tests-alone"
STREAM = b"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def endpoints_of(page: Any) -> Endpoints:
    return Endpoints(page.feed, History(page.store, page.session), lambda: page.verbs)


def test_a_port_in_use_is_followed_by_the_next_and_a_slow_client_blocks_no_other(page: Any) -> None:
    with PageServer(endpoints_of(page), TOKEN, wanted=0) as first:
        with PageServer(endpoints_of(page), TOKEN, wanted=first.port) as second:
            assert first.port < second.port <= first.port + 20
        idle = socket.create_connection(("127.0.0.1", first.port))
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        idle.sendall(STREAM)  # and never reads
        with urllib.request.urlopen(f"{first.address}api/live", timeout=30) as stream:
            frames = [
                json.loads(line[6:]) for line in (stream.readline() for _ in range(8)) if b"data:" in line
            ]
        assert len(frames) >= 3
        assert frames[-1]["status"]["tick"] == 399
        idle.close()
    assert not any(thread.name == "sage-page" for thread in threading.enumerate())


def test_an_emergency_stop_does_not_wait_for_other_requests(
    page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More commands wait than the server has threads for readers."""
    release, begun = threading.Event(), threading.Semaphore(0)

    def slow(request: dict[str, Any]) -> dict[str, Any]:
        begun.release()
        assert release.wait(60)
        return {}

    monkeypatch.setitem(page.verbs, "night", slow)
    with PageServer(endpoints_of(page), TOKEN, wanted=0) as server:

        def post(name: str) -> int:
            headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
            address = f"{server.address}api/control/{name}"
            request = urllib.request.Request(address, data=b"{}", headers=headers)
            with urllib.request.urlopen(request, timeout=60) as reply:
                return int(reply.status)

        waiting = [threading.Thread(target=post, args=("sleep",)) for _ in range(60)]
        for thread in waiting:
            thread.start()
        try:
            assert begun.acquire(timeout=60)
            assert post("estop") == 200
        finally:
            release.set()
            for thread in waiting:
                thread.join()


def test_equal_requests_read_the_store_once_in_a_while(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    history = History(page.store, page.session, real_secs=lambda: now[0])
    reads: list[object] = []
    monkeypatch.setattr(history, "_nights", lambda: reads.append(0) or {"nights": len(reads)})
    assert history.nights() == history.nights()
    now[0] += CACHE_SECS
    assert json.loads(history.nights()) == {"nights": 2}
    with pytest.raises(UserError, match="not in this session"):
        history.series(["nothing"], None, None, 10)


def opened(page: Any, folder: Path, options: PageOptions | None) -> Any:
    control = ControlServer(folder, page.verbs)
    return opened_page(options, page.feed, page.store, page.session, control, folder)


def test_the_printed_address_has_the_token_on_a_terminal_only(
    page: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: asked.append(address) or True)
    with opened(page, tmp_path, PageOptions(port=0, opens_browser=True)) as address:
        assert address.startswith("http://127.0.0.1:")
        token = (tmp_path / "http.token").read_text().strip()
        printed = capsys.readouterr().err
        assert printed.startswith("sage: page: http://127.0.0.1:")
        assert token not in printed + address
    link = tmp_path / LINK_NAME
    assert asked == [link.as_uri()]
    assert token in link.read_text()
    assert stat.S_IMODE(link.stat().st_mode) == 0o600
    monkeypatch.setattr(opening.sys.stderr, "isatty", lambda: True, raising=False)
    with opened(page, tmp_path, PageOptions(port=0)) as address:
        assert address.endswith(f"/#token={token}")
    with opened(page, tmp_path, None) as address:
        assert address == ""


def test_the_file_for_the_browser_is_the_users_own_and_the_token_is_whole(
    page: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda address: True)
    (tmp_path / "http.token").write_text("a+b%c&d" * 4)
    (tmp_path / "http.token").chmod(0o600)
    link = tmp_path / LINK_NAME
    link.write_text("of earlier")
    link.chmod(0o644)
    with opened(page, tmp_path, PageOptions(port=0, opens_browser=True)) as address:
        assert address
    assert stat.S_IMODE(link.stat().st_mode) == 0o600
    assert "a%2Bb%25c%26d" in link.read_text()
    link.unlink()
    link.mkdir()
    with opened(page, tmp_path, PageOptions(port=0, opens_browser=True)) as address:
        assert address
    assert "sage: --open: " in capsys.readouterr().err


def test_without_the_extra_one_line_says_so_and_the_session_goes_on(
    page: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError):
        need_web("page")
    with opened(page, tmp_path, PageOptions(port=0)) as address:
        assert address == ""
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "sage: no page: page: starlette is not installed: pip install 'sage-runtime[web]'"


def status_of(address: str, path: str, headers: dict[str, str]) -> int:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address + path, headers=headers), timeout=60
        ) as found:
            return int(found.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_on_every_address_reading_needs_the_token_and_the_page_does_not(page: Any) -> None:
    """As in a container, whose published port is no loopback's."""
    token = {"authorization": f"Bearer {TOKEN}"}
    with PageServer(
        endpoints_of(page), TOKEN, wanted=0, host="0.0.0.0", allowed_hosts=["robot.local"]
    ) as server:
        assert not server.is_local
        assert server.address == f"http://127.0.0.1:{server.port}/"
        for path in ("", "static/live.js", "healthz"):
            assert status_of(server.address, path, {}) == 200
        for path in ("api/status", "metrics", "openapi.json"):
            assert status_of(server.address, path, {}) == 401
            assert status_of(server.address, path, token) == 200
            assert status_of(server.address, path, {**token, "host": "robot.local:8642"}) == 200
            assert status_of(server.address, path, {**token, "host": "evil.example"}) == 421
            assert status_of(server.address, path, {**token, "host": ""}) == 421
    with PageServer(endpoints_of(page), TOKEN, wanted=0) as server:
        assert server.is_local
        assert status_of(server.address, "api/status", {}) == 200


def test_another_address_is_printed_with_a_warning_or_is_refused(
    page: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(page, tmp_path, PageOptions(port=0, host="0.0.0.0")) as address:
        assert address.startswith("http://127.0.0.1:")
    assert "other machines reach it at 0.0.0.0, without TLS" in capsys.readouterr().err
    with opened(page, tmp_path, PageOptions(port=0, host="192.0.2.1")) as address:
        assert address == ""
    assert "no page: --host 192.0.2.1: not an address of this machine" in capsys.readouterr().err
