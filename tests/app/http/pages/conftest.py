"""A headless Chromium, driven by the DevTools protocol."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra web is not installed")

from sage.app.http.server import bind, build_server

TOKEN = "a-token-for-the-tests-alone"
FOUND = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Chromium:
    """One page. `run` evaluates JavaScript, `until` waits for a condition in the page."""

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._websocket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._websocket.recv(timeout=120))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def open(self, address: str) -> None:
        """Returns when the page and its scripts have loaded."""
        self.call("Page.navigate", url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self._websocket.recv(timeout=120)))

    def run(self, code: str) -> Any:
        found = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        self.run(
            "new Promise((done, fail) => { const begin = performance.now(); const look = () => {"
            f"if ({condition}) done(); else if (performance.now() - begin > 90000) fail(new Error('waited'));"
            "else setTimeout(look, 20); }; look(); })"
        )

    def set_width(self, width: int) -> None:
        """Returns when the page has been laid out at this width."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        # Resize observers run before the frame is painted, so the second frame has their changes.
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    @property
    def complaints(self) -> list[Any]:
        """Exceptions, console messages and log entries."""
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [event["params"] for event in self.events if event["method"] in kinds]

    @property
    def requested(self) -> set[str]:
        """Addresses that the page requested."""
        return {
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        }


@pytest.fixture(scope="module")
def _devtools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The port of a running Chromium."""
    if FOUND is None:
        pytest.skip("Chromium is not installed")
    pytest.importorskip("websockets", reason="the extra groot is not installed")
    folder = tmp_path_factory.mktemp("chromium")
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions")
    command = [FOUND, *options, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        lines = (re.search(r"ws://[^/]*:(\d+)/", line) for line in process.stderr)
        yield next(found for found in lines if found).group(1)
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stderr.close()


@pytest.fixture
def chromium(_devtools: str) -> Iterator[Chromium]:
    from websockets.sync.client import connect

    address = f"http://127.0.0.1:{_devtools}/json/new?about:blank"
    with urllib.request.urlopen(urllib.request.Request(address, method="PUT"), timeout=60) as found:
        page = json.load(found)
    with connect(page["webSocketDebuggerUrl"], max_size=None) as websocket:
        yield Chromium(websocket)


@pytest.fixture
def listening() -> Callable[[Any], Any]:
    """A context in which an application is served; its value is the address."""

    @contextmanager
    def served(app: Any) -> Iterator[str]:
        with bind("127.0.0.1", 0) as socket:
            server = build_server(app)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
            thread.start()
            try:
                yield f"http://127.0.0.1:{socket.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join()

    return served
