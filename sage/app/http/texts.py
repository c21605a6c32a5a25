"""/v1/generate: text after a prompt, whole or token by token.

Invariant: a generation ends at its time limit, or when its client is gone; at most MAX_RUNNING run at once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sage.app.http.json_body import read_json_object
from sage.app.http.replies import Refusal, reply
from sage.app.terminal.errors import nearest
from sage.errors import InputError
from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.text.baseline_comparison import BaselineComparison
from sage.hrm_core.text.generation import Generated, Sampling, generate_stream

MAX_RUNNING = 2
_KEYS = ("model", "prompt", "max_length", "temperature", "top_k", "seed", "stop", "segments", "stream")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """options: of `generate_stream`."""

    model: str | None
    prompt: str
    options: dict[str, Any]
    streams: bool


def text_routes(models: Mapping[str, BaselineComparison], *, timeout_secs: float = 60.0) -> list[Route]:
    """models: by name; with none of them every request is refused."""
    routes = _Routes(models, timeout_secs)
    return [
        Route("/v1/text_models", routes.list_models, methods=["GET"]),
        Route("/v1/generate", routes.generate, methods=["POST"]),
    ]


class _Routes:
    def __init__(self, models: Mapping[str, BaselineComparison], timeout_secs: float) -> None:
        self._models, self._timeout_secs = models, timeout_secs
        self._num_running = 0

    async def list_models(self, _: Request) -> Response:
        return reply({"models": [_described(name, model) for name, model in self._models.items()]})

    async def generate(self, request: Request) -> Response:
        asked = _read(await read_json_object(request))
        model = self._pick(asked.model)
        if self._num_running >= MAX_RUNNING:
            message = f"{MAX_RUNNING} texts are being generated already: send it again later"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, {"retry-after": "1"})
        steps = self._limited(generate_stream(model, asked.prompt, **asked.options))
        self._num_running += 1
        try:
            first = await asyncio.to_thread(next, steps)
            if asked.streams:
                lines = self._lines(asked.prompt, first, steps)
                return StreamingResponse(lines, media_type="application/x-ndjson")
            last = first
            while (step := await asyncio.to_thread(next, steps, None)) is not None:
                last = step
                if await request.is_disconnected():
                    raise Refusal(HTTPStatus.BAD_REQUEST, "the client disconnected")
            return reply(_plain(asked.prompt, last))
        except InputError as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        finally:
            self._num_running -= 1

    def _limited(self, steps: Iterator[Generated]) -> Iterator[Generated]:
        """The steps up to the time limit."""
        ends_at = time.monotonic() + self._timeout_secs
        for step in steps:
            yield step
            if time.monotonic() >= ends_at:
                return

    async def _lines(self, prompt: str, first: Generated, steps: Iterator[Generated]) -> AsyncIterator[bytes]:
        """A JSON object a line, each with the text so far."""
        step: Generated | None = first
        self._num_running += 1
        try:
            while step is not None:
                yield json.dumps(_plain(prompt, step), separators=(",", ":")).encode() + b"\n"
                step = await asyncio.to_thread(next, steps, None)
        finally:
            self._num_running -= 1

    def _pick(self, name: str | None) -> BaselineComparison:
        if not self._models:
            _refuse("no model of text is served: give one with sage serve --text RUN")
        if name is None and len(self._models) == 1:
            return next(iter(self._models.values()))
        if name not in self._models:
            _refuse(f"model {str(name)[:64]}: not served: {nearest(str(name)[:64], self._models)}")
        return self._models[str(name)]


def _described(name: str, model: BaselineComparison) -> dict[str, Any]:
    front = model.hrm.config.front
    assert isinstance(front, TokenFront)
    num_parameters = sum(each.numel() for each in model.hrm.parameters())
    return {"name": name, "max_length": front.seq_len, "num_parameters": num_parameters}


def _plain(prompt: str, step: Generated) -> dict[str, Any]:
    return {"prompt": prompt, "text": step.text, "num_new": step.num_new, "stopped": step.stopped}


def _read(fields: dict[str, Any]) -> _Asked:
    for key in fields:
        if key not in _KEYS:
            _refuse(f"{key[:64]}: no such key: {nearest(key[:64], _KEYS)}")
    prompt, streams = fields.get("prompt"), fields.get("stream", False)
    model, stop = fields.get("model"), fields.get("stop", "")
    if not isinstance(prompt, str) or not isinstance(stop, str):
        _refuse("prompt, stop: give text" if "prompt" in fields else "prompt is missing: give text")
    if not isinstance(streams, bool):
        _refuse("stream: give true or false")
    if model is not None and not isinstance(model, str):
        _refuse("model: not text: give a name that /v1/text_models lists")
    temperature = fields.get("temperature", 0.0)
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)):
        _refuse("temperature: give a number from 0 to 100")
    whole = {key: _whole(fields, key) for key in ("max_length", "top_k", "seed", "segments")}
    try:
        sampling = Sampling(temperature=temperature, top_k=whole["top_k"], seed=whole["seed"] or 0)
    except InputError as error:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    options = {
        "sampling": sampling,
        "stop": stop,
        "max_length": whole["max_length"],
        "num_segments": whole["segments"],
    }
    return _Asked(model=model, prompt=prompt, options=options, streams=streams)


def _whole(fields: dict[str, Any], key: str) -> int | None:
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        _refuse(f"{key}: give a whole number from 0 to 2^31 - 1")
    return int(value)


def _refuse(message: str) -> NoReturn:
    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message)
