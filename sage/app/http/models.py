"""The served models: each has its own thread, which solves the puzzles of all requests in one batch.

Invariant: a cancelled request's puzzles leave the batch. What a task raises for a request, sys.exit included,
is TaskFailed, what a model raises for a batch is ModelFailed: it is counted and answered with status 500, and
the server goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

import numpy as np

from sage.app.boards.board import board_of
from sage.app.boards.examples import example, example_kinds
from sage.app.http.replies import Refusal
from sage.app.http.steps import Recording
from sage.app.terminal.errors import nearest
from sage.errors import InputError, pass_on
from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.solving.inference import Answer, HRMInference
from sage.hrm_core.solving.published import num_parameters
from sage.hrm_core.solving.service import (
    ModelFailed,
    ServiceClosed,
    ServiceFull,
    SolvingService,
    TaskFailed,
)
from sage.hrm_core.solving.settings import SolveSettings

#: A puzzle's cells (L,), and the inference of its size.
Encoded = tuple[HRMInference, np.ndarray]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model and the thread that runs it.  others: by number of cells, of a model that solves several
    sizes.
    """

    inference: HRMInference
    service: SolvingService
    others: dict[int, SolvingService] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        front, card = self.inference.model.config.front, self.inference.card
        assert isinstance(front, TokenFront)
        return {
            "name": self.inference.name,
            "task": card.task if card is not None else None,
            "options": dict(card.options) if card is not None else {},
            "num_cells": front.seq_len,
            "board": None if self.inference.task is None else board_of(self.inference.task).to_plain(),
            "sizes": list(card.sizes) if card is not None and card.sizes is not None else None,
            "is_searchable": self.inference.is_searchable,
            "examples": list(example_kinds(self.inference.task)),
            "num_symbols": front.vocab_size,
            "num_parameters": num_parameters(self.inference.model),
            "trained": dict(card.trained) if card is not None else {},
        }

    async def example(self, kind: str, seed: int) -> str:
        """A puzzle as text. Refusal 422 where the task has none of this kind."""
        task = self.inference.task
        try:
            if task is None:
                raise InputError(f"{self.inference.name}: the model names no task: it has no examples")
            return await asyncio.to_thread(of_task, example, task, kind, seed)
        except InputError as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error

    async def encode(self, puzzles: tuple[str, ...]) -> list[Encoded]:
        """For each puzzle the inference of its size, and its cells. Refusal 422 where a puzzle is wrong."""
        try:
            return await asyncio.to_thread(of_task, self.inference.encode_each, puzzles)
        except InputError as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error

    async def solve(
        self, encoded: Sequence[Encoded], settings: SolveSettings, recording: Recording | None = None
    ) -> list[Answer]:
        """Refusal 422 where the settings are wrong for this model, 503 where too many puzzles wait. A
        cancelled call removes its puzzles. recording: filled where there is one puzzle.
        """
        record, steps = (None, None) if recording is None else (recording.search, recording.steps)
        futures: list[asyncio.Future[Any]] = []
        try:
            for each, row in encoded:  # one by one: those before a full queue are cancelled too
                submitted = self._service_of(each).submit(row, settings, record=record, steps=steps)
                futures.append(asyncio.wrap_future(submitted))
            solutions = await asyncio.gather(*futures)
        except (ServiceFull, ServiceClosed) as error:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"retry-after": "1"}) from error
        except InputError as error:  # settings that this model does not support: a verifier
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        finally:
            for future in futures:
                future.cancel()
        return [of_task(each.answer, row, solution) for (each, row), solution in zip(encoded, solutions)]

    def _service_of(self, inference: HRMInference) -> SolvingService:
        """Each size of puzzles has a batch and a thread of its own, started with the first puzzle."""
        if inference is self.inference:
            return self.service
        if inference.num_cells not in self.others:
            self.others[inference.num_cells] = self.service.beside(inference.model, inference.task)
        return self.others[inference.num_cells]

    @property
    def is_running(self) -> bool:
        return all(each.is_running for each in (self.service, *self.others.values()))

    def close(self) -> None:
        for each in (self.service, *self.others.values()):
            each.close()


class ServedModels:
    """Served models by name, in the order given. niceness: of their threads, see SolvingService.

    num_failed: requests so far that a task or a model raised an error for.
    """

    def __init__(
        self, inferences: Iterable[HRMInference], *, max_waiting: int = 4096, niceness: int = 0
    ) -> None:
        self._models: dict[str, ServedModel] = {}
        self.num_failed = 0
        for inference in inferences:
            if inference.name in self._models:
                raise InputError(f"two models have the name {inference.name}: rename a folder")
            service = SolvingService(
                inference.model,
                inference.task,
                batch_size=inference.batch_size,
                max_waiting=max_waiting,
                niceness=niceness,
            )
            self._models[inference.name] = ServedModel(inference=inference, service=service)
        if not self._models:
            raise InputError("no model to serve: give one with --checkpoint")

    def __iter__(self) -> Any:
        return iter(self._models.values())

    def pick(self, name: str | None) -> ServedModel:
        """The model of that name; without a name the only model. Refusal 422 otherwise."""
        if name is None and len(self._models) == 1:
            return next(iter(self._models.values()))
        if name is None:
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"model is missing: give one of {', '.join(self._models)}"
            )
        if name not in self._models:
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"model {name[:64]}: not served: {nearest(name, self._models)}",
            )
        return self._models[name]

    @contextmanager
    def counting_failures(self) -> Iterator[None]:
        """Around one request."""
        try:
            yield
        except (TaskFailed, ModelFailed):
            self.num_failed += 1
            raise

    def stopped(self) -> list[str]:
        """Names of models without a running thread."""
        return [name for name, model in self._models.items() if not model.is_running]

    def close(self) -> None:
        for model in self._models.values():
            model.close()


def of_task(call: Callable[..., Result], *arguments: Any) -> Result:
    """The call's result. TaskFailed where the task's code raises anything but InputError."""
    try:
        return call(*arguments)
    except InputError:
        raise
    except BaseException as error:  # around a plug-in
        pass_on(error)
        raise TaskFailed.of(error) from error
