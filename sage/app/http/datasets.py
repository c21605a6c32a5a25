"""The routes of the data set viewer: the data sets below given folders, and pages of their examples.

Invariant: a request names a data set, never a path: only what `find_datasets` finds is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sage.app.boards.dataset import Choice, find_datasets, open_dataset
from sage.app.http.replies import Refusal, reply
from sage.app.terminal.errors import nearest
from sage.errors import DataError, InputError

_KEYS = ("name", "side", "start", "num", "identifier", "group")


def dataset_routes(folders: Sequence[Path]) -> list[Route]:
    """folders: data sets, or folders that hold some."""
    routes = _Routes(tuple(folders))
    return [
        Route("/v1/datasets", routes.list_datasets, methods=["GET"]),
        Route("/v1/datasets/examples", routes.examples, methods=["GET"]),
    ]


class _Routes:
    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders

    async def list_datasets(self, _: Request) -> Response:
        return reply({"datasets": await asyncio.to_thread(self._described)})

    def _described(self) -> list[dict[str, Any]]:
        return [_description(folder, name) for name, folder in find_datasets(self._folders).items()]

    async def examples(self, request: Request) -> Response:
        return reply(await asyncio.to_thread(self._examples, request.query_params))

    def _examples(self, query: Mapping[str, str]) -> dict[str, Any]:
        for key in query:
            if key not in _KEYS:
                _refuse(f"{key[:64]}: no such key: give {', '.join(_KEYS)}")
        known, name = find_datasets(self._folders), query.get("name", "")
        if name not in known:
            close = nearest(name[:64], known) if known else "sage serve --data DIR names folders"
            _refuse(f"name {name[:64]!r}: no such data set: {close}")
        choice = _read_choice(query)
        try:
            return open_dataset(known[name], name).examples(choice)
        except (DataError, OSError) as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error


def _description(folder: Path, name: str) -> dict[str, Any]:
    """What the data set holds, or its `error`."""
    try:
        return open_dataset(folder, name).describe()
    except (DataError, OSError) as error:
        return {"name": name, "error": str(error)}


def _read_choice(query: Mapping[str, str]) -> Choice:
    usual = Choice()
    numbers = {key: _number(key, query[key]) for key in ("start", "num", "group") if key in query}
    try:
        return Choice(
            side=query.get("side", usual.side),
            start=numbers.get("start", usual.start),
            num=numbers.get("num", usual.num),
            identifier=query.get("identifier"),
            group=numbers.get("group"),
        )
    except InputError as error:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        _refuse(f"{key}: give a whole number")
    return int(text)


def _refuse(message: str) -> NoReturn:
    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message)
