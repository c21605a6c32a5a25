"""The ASGI application of the live page, behind the guard of sage.app.http.

Invariant: on the loopback reading needs no token, so that a browser can open the page; a request that changes
state or reaches a model needs it. On another address all but the page's own files needs it.
The page loads nothing from another server, and its policy (CSP) forbids it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sage.app.http.files import FILE_PATHS
from sage.app.http.guard import LOOPBACK, Access, Guard
from sage.app.http.replies import HANDLERS
from sage.app.page.endpoints import Endpoints, endpoint_of
from sage.app.page.solving import PuzzleRoutes, solving_paths
from sage.app.page.table import ENDPOINTS

MAX_BODY_BYTES = 4096
#: Of a request to solve: a batch of puzzles as text.
SOLVE_BYTES = 1 << 20
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OWN, _SHARED = Path(__file__).parent / "static", Path(__file__).parents[1] / "static"
_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def create_app(
    endpoints: Endpoints,
    token: str,
    puzzles: PuzzleRoutes | None = None,
    *,
    hosts: frozenset[str] = LOOPBACK,
    is_local: bool = True,
) -> ASGIApp:
    """puzzles: the routes of the puzzle page; None: it is not served.  hosts: allowed in Host.  is_local:
    only this machine reaches it.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        taking = asyncio.ensure_future(endpoints.take_in())
        try:
            yield
        finally:
            taking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await taking

    app = Starlette(
        routes=[
            *(Route(row.path, endpoint_of(endpoints, row), methods=[row.method]) for row in ENDPOINTS),
            *static_routes(),
            *(puzzles.routes() if puzzles is not None else ()),
        ],
        lifespan=lifespan,
        exception_handlers=HANDLERS,
    )
    return Guard(app, page_access(token, hosts, is_local=is_local))


def page_access(token: str, hosts: frozenset[str] = LOOPBACK, *, is_local: bool = True) -> Access:
    return Access(
        token=token,
        hosts=hosts,
        open_paths=frozenset({"/healthz", *FILE_PATHS, *(route.path for route in static_routes())}),
        open_methods=frozenset({"GET", "HEAD"}) if is_local else frozenset(),
        closed_paths=frozenset(solving_paths()),
        max_body_bytes=MAX_BODY_BYTES,
        larger_bodies={"/v1/solve": SOLVE_BYTES},
    )


def static_routes() -> list[Route]:
    """The page and its files, read once."""
    files = {file.name: file for file in (*_OWN.iterdir(), *_SHARED.glob("uplot.min.*"))}
    return [
        Route("/" if name == "index.html" else f"/static/{name}", _file(file), methods=["GET"])
        for name, file in sorted(files.items())
    ]


def _file(file: Path) -> Callable[[Request], Awaitable[Response]]:
    body, kind = file.read_bytes(), _KINDS[file.suffix]
    headers = {"content-type": f"{kind}; charset=utf-8", "content-security-policy": CSP}

    async def endpoint(request: Request) -> Response:
        return Response(body, headers=headers)

    return endpoint
