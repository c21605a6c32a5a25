"""The page's application on a stored session that is made up, and a caller that speaks ASGI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra web is not installed")

from sage.app.page.endpoints import Endpoints
from sage.app.page.feed import SessionFeed
from sage.app.page.history import History
from sage.app.page.readings import ReadingsFeed
from sage.app.page.routes import create_app
from sage.app.session.synthetic import SOURCES, SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.report import (
    AnswerFacts,
    Event,
    Instrument,
    LevelFacts,
    SleepReport,
    SolvingFacts,
    TickReport,
)
from sage.runtime.scheduling.work_facts import WorkFacts
from sage.sensors.contract import SensorSpec

TOKEN = "a-token-for-the-tests-alone"
HEADERS = {"host": "127.0.0.1:8642", "authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
CAMERA = "camera.front"
PUZZLE = (1, 3, 1, 5, 1, 1, 2, 1, 1, 4, 1, 1, 5, 1, 1, 2)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Page:
    """asked: the verbs that were called, with their fields."""

    def __init__(self, folder: Path, num_ticks: int, sources: tuple[str, ...] = SOURCES) -> None:
        self.asked: list[dict[str, Any]] = []
        self.secs_since_tick = 0.01
        self.feed = SessionFeed(
            "calm-otter",
            period_ns=lambda: 50_000_000,
            readings=with_picture(),
            real_clock=ManualClock(),
        )
        self.store = MetricsStore(folder / "store.sqlite")
        self.session = self.store.begin_session()
        writer = self.store.instrument(self.session)
        for item in SyntheticSession(num_ticks=num_ticks, sources=sources).items():
            for instrument in (writer, self.feed):
                give(with_puzzle(item), instrument)
        self.store.close()
        self.verbs = {
            "status": self._status,
            **dict.fromkeys(("pause", "estop", "night"), self._done),
            "arm": self._refused,
        }
        self.endpoints = Endpoints(self.feed, History(self.store, self.session), lambda: self.verbs)
        self.app = create_app(self.endpoints, TOKEN)

    def ask(self, method: str, path: str, *, headers: Any = None, body: bytes = b"") -> Reply:
        return asyncio.run(self._ask(method, path, HEADERS if headers is None else headers, body))

    def take_in(self) -> None:
        while self.feed.take_in():
            pass

    def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        return {
            "is_paused": False,
            "held": {},
            "effectors": ["arm"],
            "secs_since_tick": self.secs_since_tick,
        }

    def _done(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        return {"has_changed": True}

    def _refused(self, request: dict[str, Any]) -> dict[str, Any]:
        raise UserError("arm: effectors were stopped again meanwhile: they stay held")

    async def _ask(self, method: str, path: str, headers: Any, body: bytes) -> Reply:
        plain, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": plain,
            "raw_path": plain.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8642),
            "headers": [(name.encode(), value.encode()) for name, value in dict(headers).items()],
        }
        coming, sent = [{"type": "http.request", "body": body, "more_body": False}], []

        async def receive() -> dict[str, Any]:
            if coming:
                return coming.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)
            if b"data: " in message.get("body", b""):
                self.endpoints.close()

        await self.app(scope, receive, send)
        start = next(message for message in sent if message["type"] == "http.response.start")
        whole = b"".join(each.get("body", b"") for each in sent if each["type"] == "http.response.body")
        return Reply(start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, whole)


def with_picture() -> ReadingsFeed:
    """Of a camera that has delivered a picture."""
    tensor = TensorSpec(shape=(12, 16, 3), dtype="uint8")
    spec = SensorSpec(
        name=CAMERA, modality="physical", tensor=tensor, period_ns=10**8, observes=("image", "level")
    )
    readings = ReadingsFeed((spec,))
    readings.pictures.ask(CAMERA)
    readings.pictures.take(lambda source: np.zeros(tensor.shape, np.uint8))
    return readings


def give(item: TickReport | SleepReport | Event, instrument: Instrument) -> None:
    match item:
        case TickReport():
            instrument.on_tick(item)
        case SleepReport():
            instrument.on_sleep(item)
        case Event():
            instrument.on_event(item)


def with_puzzle(item: Any) -> Any:
    """A puzzle in hand whose answer changes at every third tick, one puzzle in 30 ticks, and a device that
    has two segments in each odd tick.
    """
    if not isinstance(item, TickReport):
        return item
    number, step = divmod(item.facts.tick, 30)
    answer = tuple(2 + (cell + step // 3 * place) % 4 for place, cell in enumerate(PUZZLE))
    result = AnswerFacts(
        number=number - 1, level=0, is_right=number % 2 == 0, is_abstained=False, decision="allow",
        num_segments=4, num_calls=4, confidence=0.5, age_ticks=30,
    )  # fmt: skip
    solving = SolvingFacts(
        stream="puzzles",
        level=0,
        levels=(LevelFacts(name="sudoku 4x4", num_answered=number, num_right=number // 2),),
        answers=(result,) if step == 0 and number else (),
        board_number=number,
        board_cells=PUZZLE,
        board_answer=answer,
    )
    is_odd = item.facts.tick % 2 == 1
    work = WorkFacts(
        name="notes.imagine",
        num_segments=2 * is_odd,
        num_made=int(is_odd),
        ended=("answered",) if is_odd else (),
        work_trust=0.75,
        skipped="" if is_odd else "budget",
    )
    return replace(item, facts=replace(item.facts, solving=(solving,), work=(work,)))


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    page = Page(tmp_path_factory.mktemp("page"), 400)
    page.take_in()
    yield page
    page.store.close()
