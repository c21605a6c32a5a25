"""The pages and their scripts and styles, from sage/app/static.

Invariant: only the files listed here are served, read once; a page runs scripts of this server alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_PAGES = {"/": "puzzle.html", "/puzzles": "puzzle.html", "/data": "dataset.html"}
_PARTS = (
    "api.js",
    "board.js",
    "chart.js",
    "dataset.js",
    "dataset_page.js",
    "puzzle.js",
    "sage.css",
    "steps.js",
    "text.js",
    "tree.js",
    "written.js",
)
_FILES = {**_PAGES, **{f"/static/{name}": name for name in _PARTS}}
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: The links of a page, and the one to a session's page.
_LINKS, _SESSION = b'<nav aria-label="Pages">', b'<a href="/">Session</a>'
#: Served without a token: they hold nothing of a user.
FILE_PATHS = frozenset(_FILES)


def file_routes(*, has_index: bool = True) -> list[Route]:
    """GET of every page and every file that a page loads; for `Access.open_paths` see FILE_PATHS.
    has_index: False leaves `/` to another page, to which these pages then have a link.
    """
    return [
        Route(path, _reply_of(name, has_index=has_index), methods=["GET"])
        for path, name in _FILES.items()
        if has_index or path != "/"
    ]


def _reply_of(name: str, *, has_index: bool) -> Callable[[Request], Awaitable[Response]]:
    kind = _TYPES[name[name.rindex(".") :]]

    async def file(_: Request) -> Response:
        headers = {"content-security-policy": _POLICY, "cache-control": "no-cache"}
        body = _content(name) if has_index else _content(name).replace(_LINKS, _LINKS + _SESSION)
        return Response(body, media_type=kind, headers=headers)

    return file


@cache
def _content(name: str) -> bytes:
    return resources.files("sage.app").joinpath("static", name).read_bytes()
