"""First contentful paint of an address in a headless Chromium, by the DevTools protocol."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

FOUND = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAINT = (
    "new Promise((done) => new PerformanceObserver((list) => { for (const each of list.getEntries())"
    " if (each.name === 'first-contentful-paint') done(each.startTime); })"
    ".observe({ type: 'paint', buffered: true }))"
)


def why_absent() -> str:
    """ "" where a browser can be driven here."""
    if FOUND is None:
        return "Chromium is not installed"
    return "" if find_spec("websockets") else "websockets is not installed: pip install 'sage-runtime[groot]'"


@contextmanager
def browser() -> Iterator[str]:
    """The port of its DevTools."""
    assert FOUND is not None
    options = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--remote-debugging-port=0",
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [FOUND, *options, f"--user-data-dir={folder}", "about:blank"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            lines = (re.search(r"ws://[^/]*:(\d+)/", line) for line in process.stderr)
            yield next(found for found in lines if found).group(1)
        finally:
            process.terminate()
            process.wait(timeout=60)
            process.stderr.close()


def first_paint_secs(port: str, address: str) -> float:
    """In a new tab, without a cache."""
    from websockets.sync.client import connect

    request = urllib.request.Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
    with urllib.request.urlopen(request, timeout=60) as found:
        tab = json.load(found)
    numbers = itertools.count(1)
    with connect(tab["webSocketDebuggerUrl"], max_size=None) as websocket:

        def call(method: str, **params: Any) -> Any:
            number = next(numbers)
            websocket.send(json.dumps({"id": number, "method": method, "params": params}))
            while True:
                message = json.loads(websocket.recv(timeout=60))
                if message.get("id") == number:
                    return message["result"]

        call("Network.enable")
        call("Network.setCacheDisabled", cacheDisabled=True)
        call("Page.enable")
        call("Page.navigate", url=address)
        found = call("Runtime.evaluate", expression=PAINT, awaitPromise=True, returnByValue=True)
        call("Page.close")
    return float(found["result"]["value"]) / 1000
