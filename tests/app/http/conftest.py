"""The application without a network: a caller that speaks ASGI, and an untrained model that answers
anything.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("starlette", reason="the extra web is not installed")

from sage.app.http.guard import Access
from sage.app.http.models import ServedModels
from sage.app.http.routes import create_app
from sage.app.http.solve_request import SolveLimits
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.solving.published import load_published, save_published
from sage.hrm_core.solving.task_card import TaskCard

TOKEN = "a-token-for-the-tests-alone"
HEADERS = {"host": "127.0.0.1:8765", "authorization": f"Bearer {TOKEN}", "content-type": "application/json"}


@dataclass(frozen=True)
class Reply:
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
    """One request at a time. A body in several `parts` comes in as many messages; None: the rest never comes.

    Without `hangs_up` the caller waits for the reply; with it, it is gone once its body is sent."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def ask(self, method: str, path: str, *, headers: Any = None, said: Any = None, **more: Any) -> Reply:
        parts = [b"" if said is None else json.dumps(said).encode()]
        return asyncio.run(
            self._ask(method, path, HEADERS if headers is None else headers, more.pop("parts", parts), **more)
        )

    def solve(self, said: Any, **more: Any) -> Reply:
        return self.ask("POST", "/v1/solve", said=said, **more)

    async def _ask(
        self,
        method: str,
        path: str,
        headers: Any,
        parts: list[bytes | None],
        *,
        hangs_up: bool = False,
        query: str = "",
    ) -> Reply:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8765),
            "headers": [(k.encode(), v.encode("latin-1")) for k, v in dict(headers).items()],
        }
        coming, sent = list(parts), []

        async def receive() -> dict[str, Any]:
            if coming and (part := coming.pop(0)) is not None:
                return {"type": "http.request", "body": part, "more_body": bool(coming)}
            if not hangs_up:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start = next(message for message in sent if message["type"] == "http.response.start")
        body = b"".join(
            message.get("body", b"") for message in sent if message["type"] == "http.response.body"
        )
        return Reply(start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, body)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    front = TokenFront(vocab_size=6, seq_len=16, positions="learned")
    model = HRM(ModelConfig.preset("tiny", front=front), generator=torch.Generator().manual_seed(0))
    save_published(folder, model, TaskCard(task="sudoku", options={"size": 4}, trained={"exact": 0.0}))
    return folder


@pytest.fixture
def models(checkpoint: Path) -> Iterator[ServedModels]:
    models = ServedModels([HRMInference(load_published(checkpoint))], max_waiting=300)
    yield models
    models.close()


@pytest.fixture
def build_caller(models: ServedModels) -> Callable[..., Caller]:
    def build(*, limits: SolveLimits | None = None, **access: Any) -> Caller:
        return Caller(create_app(models, Access(token=TOKEN, **access), limits))

    return build


@pytest.fixture
def caller(build_caller: Callable[..., Caller]) -> Caller:
    return build_caller()
