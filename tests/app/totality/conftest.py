"""The service without a network: a caller that speaks ASGI to a store in memory, or in a folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

pytest.importorskip("starlette", reason="the extra web is not installed")

from sage.app.http.guard import Access
from sage.app.totality.examples import write_examples
from sage.app.totality.routes import OPEN_PATHS, RESTORE_PATH, Served, create_app
from sage.mailbox.clock import ManualClock
from sage.related_work.totality.persistence import TotalityFolder
from sage.related_work.totality.store import TotalityStore
from sage.related_work.totality.wall_time import WallClock

TOKEN = "a-token-for-the-tests-alone"
START_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def fault(self) -> str:
        return str(self.json["error"]["message"])


class Caller:
    """One request at a time."""

    def __init__(self, app: Any, served: Served) -> None:
        self.app = app
        self.served = served

    def get(self, path: str, headers: dict[str, str] | None = None, **query: object) -> Answer:
        return asyncio.run(self._ask("GET", path, b"", urlencode(query), headers))

    def post(self, path: str, said: Any = None, headers: dict[str, str] | None = None) -> Answer:
        body = said if isinstance(said, bytes) else json.dumps({} if said is None else said).encode()
        return asyncio.run(self._ask("POST", path, body, "", headers))

    def ids(self, scope: str) -> set[str]:
        return {each["id"] for each in self.get("/totality/read", scope=scope, limit=1000).json[scope]}

    async def _ask(
        self, method: str, path: str, body: bytes, query: str, headers: dict[str, str] | None
    ) -> Answer:
        given = {"host": "127.0.0.1:8080", "authorization": f"Bearer {TOKEN}", **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in given.items() if value],
            "server": ("127.0.0.1", 8080),
            "client": ("127.0.0.1", 50000),
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start = next(each for each in sent if each["type"] == "http.response.start")
        content = b"".join(each.get("body", b"") for each in sent)
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(status=start["status"], headers=found, body=content)


def access(**more: Any) -> Access:
    return Access(
        **{"token": TOKEN, "open_paths": OPEN_PATHS, "larger_bodies": {RESTORE_PATH: 8 << 20}, **more}
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_NS)


@pytest.fixture
def caller(clock: ManualClock) -> Caller:
    """A store in memory with the examples."""
    store = TotalityStore(clock.now_ns)
    write_examples(store, clock.now_ns())
    served = Served(store=store, clock=WallClock(clock))
    return Caller(create_app(served, access()), served)


@pytest.fixture
def kept(clock: ManualClock, tmp_path: Path) -> Iterator[Caller]:
    """A store in a folder with the examples."""
    with TotalityFolder(tmp_path / "store", clock.now_ns) as folder:
        write_examples(folder.store, clock.now_ns())
        served = Served(store=folder.store, clock=WallClock(clock), folder=folder)
        yield Caller(create_app(served, access()), served)
