"""The routes, behind the guard: the pages, /v1/solve, /v1/models, /v1/examples, /v1/generate,
/v1/datasets, /healthz.

Invariant: a request ends at its timeout; the work of a client that disconnects is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sage.app.http.datasets import dataset_routes
from sage.app.http.document import document
from sage.app.http.files import FILE_PATHS, file_routes
from sage.app.http.guard import Access, Guard
from sage.app.http.json_body import read_json_object
from sage.app.http.models import Encoded, ServedModel, ServedModels
from sage.app.http.replies import HANDLERS, Refusal, reply
from sage.app.http.solve_request import SolveLimits, read_example, read_request
from sage.app.http.steps import Recording, plain_steps
from sage.app.http.texts import text_routes
from sage.hrm_core.solving.inference import Answer
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.text.baseline_comparison import BaselineComparison

Result = TypeVar("Result")


def create_app(
    models: ServedModels,
    access: Access,
    limits: SolveLimits | None = None,
    *,
    data_folders: Sequence[Path] = (),
    text_models: Mapping[str, BaselineComparison] | None = None,
) -> ASGIApp:
    """The ASGI application. It closes `models` when the server shuts down. Pages and their files are open:
    their scripts send the token. data_folders: of the viewer of data sets.
    text_models: by name.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.to_thread(models.close)

    routes = create_routes(models, limits, data_folders=data_folders, text_models=text_models)
    app = Starlette(
        routes=[
            *file_routes(),
            Route("/healthz", _Health(models).reply, methods=["GET"]),
            Route("/openapi.json", _document, methods=["GET"]),
            *routes,
        ],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    return Guard(app, replace(access, open_paths=access.open_paths | FILE_PATHS | {"/openapi.json"}))


def create_routes(
    models: ServedModels,
    limits: SolveLimits | None = None,
    *,
    data_folders: Sequence[Path] = (),
    text_models: Mapping[str, BaselineComparison] | None = None,
) -> list[Route]:
    """The API under /v1, for this application or another one behind a guard, which closes `models`; with
    `file_routes` it serves the pages too. The arguments are those of `create_app`.
    """
    solving = _Solving(models, limits or SolveLimits())
    return [
        Route("/v1/models", solving.list_models, methods=["GET"]),
        Route("/v1/examples", solving.example, methods=["GET"]),
        Route("/v1/solve", solving.solve, methods=["POST"]),
        *text_routes(text_models or {}),
        *dataset_routes(data_folders),
    ]


async def _document(_: Request) -> Response:
    return reply(document())


class _Health:
    def __init__(self, models: ServedModels) -> None:
        self._models = models

    async def reply(self, _: Request) -> Response:
        stopped = self._models.stopped()
        if stopped:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, f"stopped: {', '.join(stopped)}: restart the server"
            )
        return reply({"status": "ok", "num_failed": self._models.num_failed})


class _Solving:
    def __init__(self, models: ServedModels, limits: SolveLimits) -> None:
        self._models, self._limits = models, limits

    async def list_models(self, _: Request) -> Response:
        return reply({"models": [model.describe() for model in self._models]})

    async def example(self, request: Request) -> Response:
        asked = read_example(request.query_params)
        with self._models.counting_failures():
            return reply({"puzzle": await self._models.pick(asked.model).example(asked.kind, asked.seed)})

    async def solve(self, request: Request) -> Response:
        fields = await read_json_object(request)
        wanted = read_request(fields, next(iter(self._models)).inference.settings, self._limits)
        model = self._models.pick(wanted.model)
        settings = wanted.settings_for(is_searchable=model.inference.is_searchable)
        recording = Recording() if wanted.with_steps else None
        with self._models.counting_failures():
            encoded, answers = await _unless_gone(
                request, _solved(model, wanted.puzzles, settings, recording), wanted.timeout_secs
            )
        about = {"model": model.inference.name, "task": model.describe()["task"]}
        if not wanted.is_single:
            return reply({**about, "results": [answer.to_plain() for answer in answers]})
        plain = {**about, **answers[0].to_plain()}
        if recording is not None:
            plain["steps"] = plain_steps(*encoded[0], answers[0].solution, recording)
        return reply(plain)


async def _solved(
    model: ServedModel, puzzles: tuple[str, ...], settings: SolveSettings, recording: Recording | None
) -> tuple[list[Encoded], list[Answer]]:
    encoded = await model.encode(puzzles)
    return encoded, await model.solve(encoded, settings, recording)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Result], timeout_secs: float) -> Result:
    """The work's result. Refusal 504 after the timeout, 400 where the client disconnects; the work is
    cancelled.
    """
    working = asyncio.ensure_future(work)
    disconnecting = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait(
            {working, disconnecting}, timeout=timeout_secs, return_when=asyncio.FIRST_COMPLETED
        )
        if working.done():
            return await working
        if disconnecting.done():
            raise Refusal(HTTPStatus.BAD_REQUEST, "the client disconnected")
        message = f"not done within {timeout_secs:g} s: send fewer puzzles, segments, tries or calls"
        raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, message)
    finally:
        for task in (working, disconnecting):
            task.cancel()
        await asyncio.gather(working, disconnecting, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
