"""The endpoints of the Totality service, behind the guard of sage.app.http.

Invariant: a wrong request is a reply of 400, 404 or 409 with one line, and changed nothing. Work is done on
threads, but for short pages: the event loop never waits for the store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import structlog
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sage.app.http.guard import Access, Guard
from sage.app.http.replies import HANDLERS, Refusal, reply
from sage.app.totality.document import describe
from sage.errors import InputError, SageError
from sage.related_work.totality.content import Content
from sage.related_work.totality.errors import Conflict, NotDurable, UnknownId
from sage.related_work.totality.messages import (
    ActivateRequest,
    HealthReply,
    ImagineRequest,
    PersistReply,
    RestoreReply,
    RestoreRequest,
    SleepCycleRequest,
    WriteRequest,
)
from sage.related_work.totality.persistence import TotalityFolder
from sage.related_work.totality.read_query import ReadQuery
from sage.related_work.totality.store import TotalityStore
from sage.related_work.totality.wall_time import WallClock, from_text, to_text

log = structlog.get_logger("sage.app")
RequestT = TypeVar("RequestT", bound=Content)
OPEN_PATHS = frozenset({"/health", "/openapi.json"})
RESTORE_PATH = "/totality/restore"
#: A page of a store that no other thread has is read without one.
MOST_AT_ONCE = 100
_QUERY = ("activation_min", "since", "scope", "order", "limit", "cursor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """store: what is served.  folder: where it is kept, None for one in memory."""

    store: TotalityStore
    clock: WallClock
    folder: TotalityFolder | None = None

    def restore(self, request: RestoreRequest) -> RestoreReply:
        snapshot = request.snapshot
        if snapshot is None:
            assert request.snapshot_id is not None
            snapshot = self._kept().saved(request.snapshot_id)
        done = self.store.restore(snapshot, request.snapshot_id)
        self.shorten()
        return done

    def persist(self) -> PersistReply:
        return self._kept().persist()

    def shorten(self) -> None:
        """After a change, outside of its reply's time where possible. The change is on the disk: a snapshot
        that cannot be written is an error of the log, not of the request, which would be sent again.
        """
        if self.folder is None:
            return
        try:
            self.folder.persist_if_long()
        except (OSError, SageError) as error:
            log.error("totality store: no snapshot, the journal grows: free some space", error=str(error))

    def _kept(self) -> TotalityFolder:
        if self.folder is None:
            raise Conflict("this store is in memory only: start the service with --store FOLDER")
        return self.folder


def create_app(served: Served, access: Access) -> ASGIApp:
    """The ASGI application. Its lifespan closes the folder."""
    endpoints = _Endpoints(served)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if served.folder is not None:
                await run_in_threadpool(served.folder.close)

    routes = [Route(path, call, methods=[method]) for method, path, call in endpoints.table()]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=HANDLERS)
    return Guard(app, access)


class _Endpoints:
    def __init__(self, served: Served) -> None:
        self._served = served
        self._document = describe(operations=[each.name for each in served.store.operations])

    def table(self) -> tuple[tuple[str, str, Callable[[Request], Awaitable[Response]]], ...]:
        """(method, path, endpoint) of each route."""
        store = self._served.store
        return (
            ("GET", "/health", self.health),
            ("GET", "/openapi.json", self.document),
            ("GET", "/totality/read", self.read),
            ("GET", "/totality/snapshot", self.snapshot),
            ("POST", "/totality/imagine", self._changing(ImagineRequest, store.imagine)),
            ("POST", "/totality/activate", self._changing(ActivateRequest, store.activate)),
            ("POST", "/totality/write", self._changing(WriteRequest, store.write)),
            ("POST", RESTORE_PATH, self._changing(RestoreRequest, self._served.restore)),
            ("POST", "/totality/persist", self.persist),
            ("POST", "/totality/sleep-cycle", self._changing(SleepCycleRequest, store.sleep_cycle)),
        )

    async def health(self, request: Request) -> Response:
        return _answer(HealthReply(status="ok", time=to_text(self._served.clock.now_ns())))

    async def document(self, request: Request) -> Response:
        return reply(self._document)

    async def read(self, request: Request) -> Response:
        query = _read_query(request)
        if query.limit <= MOST_AT_ONCE:
            # A change of threads takes longer than a short page, most of all on a machine under load.
            page = _worked(lambda: self._served.store.read_at_once(query))
            if page is not None:
                return _answer(page)
        return await run_in_threadpool(lambda: _answer(_worked(lambda: self._served.store.read(query))))

    async def snapshot(self, request: Request) -> Response:
        _only(request.query_params, ())
        return await run_in_threadpool(lambda: _answer(self._served.store.snapshot()))

    async def persist(self, request: Request) -> Response:
        _only(request.query_params, ())
        if (await request.body()).strip() not in (b"", b"{}"):
            raise Refusal(HTTPStatus.BAD_REQUEST, "persist takes no fields: send {} or nothing")
        return await run_in_threadpool(lambda: _answer(_worked(self._served.persist)))

    def _changing(
        self, kind: type[RequestT], work: Callable[[RequestT], Content]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a request with a body."""

        async def endpoint(request: Request) -> Response:
            _only(request.query_params, ())
            body = await request.body()

            def answer() -> Response:
                found = _answer(_worked(lambda: work(_parsed(kind, body))))
                self._served.shorten()
                return found

            return await run_in_threadpool(answer)

        return endpoint


def _answer(content: Content) -> Response:
    return Response(content.model_dump_json().encode(), media_type="application/json")


ResultT = TypeVar("ResultT")


def _worked(work: Callable[[], ResultT]) -> ResultT:
    """The result of `work`; the store's errors as a Refusal."""
    try:
        return work()
    except UnknownId as error:
        raise Refusal(HTTPStatus.NOT_FOUND, str(error)) from error
    except Conflict as error:
        raise Refusal(HTTPStatus.CONFLICT, str(error)) from error
    except InputError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
    except NotDurable as error:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"retry-after": "1"}) from error
    except OSError as error:
        message = f"the store's folder cannot be written: {error.strerror or error}: free some space"
        raise Refusal(HTTPStatus.INSUFFICIENT_STORAGE, message) from error


def _parsed(kind: type[RequestT], body: bytes) -> RequestT:
    """Refusal 400 with the first field that is wrong."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part)[:64] for part in first["loc"]) or "body"
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{place}: {first['msg']}"[:500]) from error


def _read_query(request: Request) -> ReadQuery:
    given = request.query_params
    _only(given, _QUERY)
    scope = given.get("scope", "all")
    if scope not in ("all", "schemes", "canvases"):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"scope is {scope[:64]!r}: give all, schemes or canvases")
    order = given.get("order", "changed")
    if order not in ("changed", "activation"):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"order is {order[:64]!r}: give changed or activation")
    return _worked(
        lambda: ReadQuery(
            activation_min=_number(given, "activation_min", 0.0),
            since_ns=from_text(given["since"]) if "since" in given else 0,
            scope=scope,  # type: ignore[arg-type]
            order=order,  # type: ignore[arg-type]
            limit=int(_number(given, "limit", 100, whole=True)),
            cursor=given.get("cursor"),
        )
    )


def _number(given: Mapping[str, str], name: str, default: float, *, whole: bool = False) -> float:
    text = given.get(name)
    if text is None:
        return default
    try:
        return int(text[:19]) if whole else float(text)
    except ValueError:
        raise InputError(f"{name} is {text[:64]!r}: give a {'whole ' if whole else ''}number") from None


def _only(given: Mapping[str, str], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            expected = f"give one of {', '.join(known)}" if known else "this path takes none"
            raise Refusal(HTTPStatus.BAD_REQUEST, f"{name[:64]}: unknown query parameter: {expected}")
