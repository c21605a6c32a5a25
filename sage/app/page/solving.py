"""The puzzle page beside the live page: its files, and the routes under /v1 with the shipped models.

Invariant: no model is loaded before the first request needs one; models run in threads of lower priority than
the loop's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from sage.app.http.document import document
from sage.app.http.files import file_routes
from sage.app.http.models import ServedModels
from sage.app.http.replies import HANDLERS, Refusal
from sage.app.http.routes import create_routes
from sage.app.http.server import ServeOptions, load_models
from sage.app.terminal.errors import UserError

log = structlog.get_logger("sage.app")
#: Added to the priority (nice) of the threads that solve, on Linux.
NICENESS = 10


def solving_paths() -> dict[str, Any]:
    """For the OpenAPI document, by path. All of them need the token: models are loaded for them."""
    return {
        path: {method: {**each, "security": [{"bearer": []}]} for method, each in operations.items()}
        for path, operations in document()["paths"].items()
        if path.startswith("/v1/")
    }


class PuzzleRoutes:
    """load: the models, called once, in a thread, by the first request. `close` ends their threads."""

    def __init__(self, load: Callable[[], ServedModels] | None = None) -> None:
        self._load = load or partial(load_models, ServeOptions(), niceness=NICENESS)
        self._loading: asyncio.Task[Starlette] | None = None
        self._models: ServedModels | None = None

    def routes(self) -> list[BaseRoute]:
        """/puzzles, /data, the files of both, and every path of `solving_paths`."""
        return [*file_routes(has_index=False), *(Route(path, self) for path in solving_paths())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        await (await self._ready())(scope, receive, send)

    def close(self) -> None:
        if self._models is not None:
            self._models.close()

    async def _ready(self) -> Starlette:
        if self._loading is None:
            self._loading = asyncio.ensure_future(asyncio.to_thread(self._build))
        loading = self._loading
        try:
            return await asyncio.shield(loading)
        except Exception as error:  # of any kind: the next request loads them again
            if self._loading is loading:
                self._loading = None
                log.warning("the page's models cannot be loaded; the session goes on", error=repr(error))
            if not isinstance(error, UserError):
                raise
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error

    def _build(self) -> Starlette:
        self._models = self._load()
        return Starlette(
            routes=create_routes(self._models),
            exception_handlers=HANDLERS,
        )
