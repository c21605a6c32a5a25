"""What each route of the table does.

Invariant: the event loop only reads and writes: the store is read, and a command is carried out, on another
thread. One frame is made for all clients of a moment.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sage.app.control.server import Verb
from sage.app.http.replies import Refusal, reply
from sage.app.page.document import MAX_REASON_CHARS, describe
from sage.app.page.feed import SessionFeed
from sage.app.page.history import History
from sage.app.page.metrics_text import MEDIA, metrics_text
from sage.app.page.table import COMMANDS, CONTROL_PREFIX, ENDPOINTS, Endpoint
from sage.app.page.view import frame
from sage.errors import SageError

#: Between two frames of a stream, the age up to which a frame serves another client, and between two looks at
#: the reports that wait.
FRAME_SECS, SHARED_SECS, TAKE_SECS = 0.5, 0.25, 0.25
#: Reports that are taken in without a pause, so that the loop's thread gets its turn.
SLICE = 16
MAX_STREAMS = 128
MAX_ERROR_CHARS = 1000
#: Frames sent in a second, to all clients together: more pages get a frame less often.
MAX_SENDS_HZ = 32
#: Of one kind that wait at the same time.
MAX_COMMANDS = 4
#: How long the first request for a picture waits for its copy, and between two looks at it.
PICTURE_SECS, LOOK_SECS = 1.0, 0.05
#: Pictures that are encoded at the same time.
MAX_ENCODERS = 2
ResultT = TypeVar("ResultT")


class Endpoints:
    """verbs: those of the control socket, as registered at the time of a request.  more_paths: of the OpenAPI
    document, served by other routes.
    """

    def __init__(
        self,
        feed: SessionFeed,
        history: History,
        verbs: Callable[[], Mapping[str, Verb]],
        *,
        more_paths: Mapping[str, Any] | None = None,
        real_secs: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed = feed
        self._history = history
        self._verbs = verbs
        self._real_secs = real_secs
        self._document = describe(ENDPOINTS, more_paths or {})
        self._made_secs = -1.0
        self._frame: dict[str, Any] = {}
        self._encoded = b""
        self._num_streams = 0
        # A stop must not wait for threads that read the store, or that wait for a snapshot.
        self._encoders = CapacityLimiter(MAX_ENCODERS)
        self._limiters = {name: CapacityLimiter(MAX_COMMANDS) for name in COMMANDS}
        self._is_closing = False

    def close(self) -> None:
        """End the streams. From any thread."""
        self._is_closing = True

    async def take_in(self) -> None:
        """Until cancelled: keep the feed's state up to date."""
        while True:
            while self._feed.take_in(SLICE):
                await asyncio.sleep(0.001)
            await asyncio.sleep(TAKE_SECS)

    async def live(self, request: Request, given: Mapping[str, Any]) -> Response:
        if self._num_streams >= MAX_STREAMS:
            message = f"{MAX_STREAMS} live streams are open: close a page"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, {"retry-after": "5"})
        if request.method == "HEAD":
            return Response(b"", media_type="text/event-stream")
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def status(self, request: Request, given: Mapping[str, Any]) -> Response:
        return reply(self._latest()["status"])

    async def sources(self, request: Request, given: Mapping[str, Any]) -> Response:
        return reply({"sources": self._part("sources")})

    async def puzzles(self, request: Request, given: Mapping[str, Any]) -> Response:
        return reply({"puzzles": self._part("puzzles")})

    async def picture(self, request: Request, given: Mapping[str, Any]) -> Response:
        """A file that has not changed since the client got it (ETag, If-None-Match) is not sent again."""
        pictures, names = self._feed.readings.pictures, given["name"]
        if len(names) != 1:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"name: {len(names)} are given: give one source")
        (name,) = names
        if name not in pictures.sizes:
            names = ", ".join(pictures.sizes)[:MAX_ERROR_CHARS]
            remedy = f"give one of {names}" if names else "no source of this session has one"
            raise Refusal(HTTPStatus.NOT_FOUND, f"name is {name[:40]!r}, which has no picture: {remedy}")
        if not pictures.ask(name):
            await self._until_copied(name)
        found = await to_thread.run_sync(pictures.newest, name, limiter=self._encoders)
        if found is None:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        headers = {"etag": found.tag}
        if found.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(found.png, media_type="image/png", headers=headers)

    async def _until_copied(self, name: str) -> None:
        """A copy from before it was asked for is old."""
        pictures = self._feed.readings.pictures
        num = pictures.num_copies(name)
        for _ in range(round(PICTURE_SECS / LOOK_SECS)):
            if pictures.num_copies(name) != num or self._is_closing:
                return
            await asyncio.sleep(LOOK_SECS)

    async def series(self, request: Request, given: Mapping[str, Any]) -> Response:
        names = tuple(dict.fromkeys((*given["names"], *given["name"])))
        if not names:
            raise Refusal(HTTPStatus.BAD_REQUEST, "names: missing: give names or name")
        arguments = (names, given["from"], given["to"], given["points"])
        return await _stored(lambda: self._history.series(*arguments))

    async def levels(self, request: Request, given: Mapping[str, Any]) -> Response:
        return await _stored(lambda: self._history.levels(given["points"]))

    async def nights(self, request: Request, given: Mapping[str, Any]) -> Response:
        return await _stored(self._history.nights)

    async def events(self, request: Request, given: Mapping[str, Any]) -> Response:
        return await _stored(lambda: self._history.events(given["limit"]))

    async def metrics(self, request: Request, given: Mapping[str, Any]) -> Response:
        text = metrics_text(self._latest(), self._feed.live.mailboxes)
        return Response(text.encode(), headers={"content-type": MEDIA})

    async def document(self, request: Request, given: Mapping[str, Any]) -> Response:
        return reply(self._document)

    async def health(self, request: Request, given: Mapping[str, Any]) -> Response:
        return reply({"status": "ok"})

    async def control(self, request: Request, given: Mapping[str, Any]) -> Response:
        """One verb of the control socket. Refusal 409 where the session has none of this name."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type: send application/json")
        fields = _read_control(await request.body())
        name = request.url.path.removeprefix(CONTROL_PREFIX)
        command = COMMANDS[name]
        verb = self._verbs().get(command.verb)
        if verb is None:
            raise Refusal(HTTPStatus.CONFLICT, f"{name}: this session has no such command")
        called, asked = verb, {"verb": command.verb, **dict(command.fields), **fields}
        return reply(await _worked(HTTPStatus.CONFLICT, lambda: called(asked), self._limiters[name]))

    def _part(self, name: str) -> Any:
        found = self._latest()
        if name not in found:
            message = "no tick has ended yet: ask again"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, {"retry-after": "1"})
        return found[name]

    def _latest(self) -> dict[str, Any]:
        """A frame of this moment, shared by those who ask within SHARED_SECS."""
        now = self._real_secs()
        if not self._frame or now - self._made_secs > SHARED_SECS:
            verbs = self._verbs()
            made = frame(self._feed, verbs["status"]({"verb": "status"}))
            made["status"]["commands"] = [name for name, command in COMMANDS.items() if command.verb in verbs]
            self._frame, self._encoded, self._made_secs = made, b"", now
        return self._frame

    def _event(self) -> bytes:
        latest = self._latest()
        if not self._encoded:
            self._encoded = b"data: " + json.dumps(latest, allow_nan=False).encode() + b"\n\n"
        return self._encoded

    @property
    def _period_secs(self) -> float:
        """From one frame of a client to its next."""
        return max(FRAME_SECS, self._num_streams / MAX_SENDS_HZ)

    async def _stream(self) -> AsyncIterator[bytes]:
        """A slow client waits in its own send and misses frames; no other one waits."""
        self._num_streams += 1
        try:
            yield b"retry: 1000\n\n" + self._event()
            # Not all clients at the same moment: each send holds the interpreter for a short time.
            await asyncio.sleep(random.uniform(0.1, 1) * self._period_secs)
            while not self._is_closing:
                yield self._event()
                await asyncio.sleep(self._period_secs)
        finally:
            self._num_streams -= 1


def endpoint_of(endpoints: Endpoints, row: Endpoint) -> Callable[[Request], Any]:
    """The Starlette endpoint of a row of the table."""
    call = getattr(endpoints, row.call)

    async def endpoint(request: Request) -> Response:
        found: Response = await call(request, row.read(request.query_params.multi_items()))
        return found

    return endpoint


async def _stored(work: Callable[[], bytes]) -> Response:
    body = await _worked(HTTPStatus.BAD_REQUEST, work)
    return Response(body, media_type="application/json")


async def _worked(
    status: HTTPStatus, work: Callable[[], ResultT], limiter: CapacityLimiter | None = None
) -> ResultT:
    """The result of work on another thread; its SageError as a Refusal of this status."""
    try:
        return await to_thread.run_sync(work, limiter=limiter)
    except SageError as error:
        raise Refusal(status, str(error)[:MAX_ERROR_CHARS]) from error


def _read_control(body: bytes) -> dict[str, str]:
    """{} or {"reason": text}. Refusal 400."""
    try:
        fields = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {str(error)[:120]}") from error
    if not isinstance(fields, dict) or set(fields) - {"reason"}:
        raise Refusal(HTTPStatus.BAD_REQUEST, 'the body is wrong: send {} or {"reason": "..."}')
    reason = fields.get("reason", "")
    if not isinstance(reason, str) or len(reason) > MAX_REASON_CHARS or not _is_printable(reason):
        raise Refusal(
            HTTPStatus.BAD_REQUEST, f"reason: give printable text of up to {MAX_REASON_CHARS} characters"
        )
    return fields


def _is_printable(text: str) -> bool:
    return all(character.isprintable() for character in text)
