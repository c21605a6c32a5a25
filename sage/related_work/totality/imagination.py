"""Canvases made by chains of operations, within a budget of calls.

Invariant: a canvas names the operations that made it, in order; equal material and seeds give equal
canvases. How it ended is one of the words of solving: solved (all that were asked for), budget (the calls
ran out), diverged (an operation gave numbers that are not finite), no_solution (no operation could be
applied).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from sage.errors import pass_on
from sage.hrm_core.solving.solutions import Outcome
from sage.related_work.totality.content import MAX_ENTITIES, MAX_LINKS, Canvas, Link, Provenance, Scheme
from sage.related_work.totality.errors import Conflict
from sage.related_work.totality.messages import Budget, OpCall
from sage.related_work.totality.mood import Mood
from sage.related_work.totality.operation import Imagined, Material, NotApplicable, Operation

#: Tries for one canvas, because an operation may draw schemes that it cannot be applied to.
MAX_TRIES = 8
#: Seeds that are drawn for a canvas when none are given.
NUM_DRAWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """seeds: given schemes, or candidates with `draws_seeds`.  pool: active schemes of the store.

    calls, operations: one each, in order.  new_id: fresh ids, by kind.  created_at: ISO 8601.
    """

    seeds: tuple[Scheme, ...]
    draws_seeds: bool
    pool: tuple[Scheme, ...]
    calls: tuple[OpCall, ...]
    operations: tuple[Operation, ...]
    count: int
    max_calls: int
    mood: Mood
    rng: np.random.Generator
    new_id: Callable[[str], str]
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """canvases: made, with the schemes of each that are new.  problem: of the last try that failed."""

    canvases: tuple[tuple[Canvas, tuple[Scheme, ...]], ...]
    outcome: Outcome
    budget: Budget
    problem: str


class Imagination:
    """One task."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._num_calls = 0
        self._problem = ""
        self._has_diverged = False

    def run(self) -> Finished:
        made: list[tuple[Canvas, tuple[Scheme, ...]]] = []
        for _ in range(self._task.count):
            found = self._attempts()
            if found is None:
                break
            made.append(found)
        return Finished(
            canvases=tuple(made),
            outcome=self._outcome(len(made)),
            budget=Budget(calls=self._num_calls, max_calls=self._task.max_calls),
            problem=self._problem,
        )

    def _outcome(self, num_made: int) -> Outcome:
        if num_made == self._task.count:
            return "solved"
        if not self._has_calls_left:
            return "budget"
        return "diverged" if self._has_diverged else "no_solution"

    @property
    def _has_calls_left(self) -> bool:
        return self._num_calls + len(self._task.calls) <= self._task.max_calls

    def _attempts(self) -> tuple[Canvas, tuple[Scheme, ...]] | None:
        for _ in range(MAX_TRIES):
            if not self._has_calls_left:
                return None
            try:
                return self._attempt()
            except NotApplicable as error:
                self._problem = str(error)
            except ValidationError as error:
                self._has_diverged = True
                self._problem = str(error.errors()[0]["msg"])
        return None

    def _attempt(self) -> tuple[Canvas, tuple[Scheme, ...]]:
        task = self._task
        current = self._draw_seeds()
        entities = {each.id: each for each in current}
        made: list[Scheme] = []
        links: list[Link] = []
        for call, operation in zip(task.calls, task.operations):
            result = self._apply(operation, call, current)
            entities.update({each.id: each for each in (*result.sources, *result.schemes)})
            links += result.links
            made += result.schemes
            current = (*result.schemes, *current)
        canvas = Canvas(
            id=task.new_id("canvas"),
            description=" ".join(f"{'; '.join(each.label for each in made)}"[:1024].split()),
            entities=tuple(_fitting(entities, made)),
            links=tuple(links[-MAX_LINKS:]),
            provenance=Provenance(
                created_by="sage.totality",
                created_at=task.created_at,
                ops=tuple(operation.name for operation in task.operations),
            ),
        )
        return canvas, tuple(made)

    def _draw_seeds(self) -> tuple[Scheme, ...]:
        task = self._task
        if not task.draws_seeds:
            return task.seeds
        activations = [each.activation for each in task.seeds]
        return tuple(task.mood.draw(task.rng, task.seeds, activations, NUM_DRAWN))

    def _apply(self, operation: Operation, call: OpCall, current: tuple[Scheme, ...]) -> Imagined:
        self._num_calls += 1
        task = self._task
        material = Material(
            schemes=current,
            pool=task.pool,
            rng=task.rng,
            mood=task.mood,
            new_id=lambda: task.new_id("imagined"),
        )
        try:
            result = operation.apply(material, call.params)
        except (NotApplicable, ValidationError):
            raise
        except BaseException as error:  # around a plug-in
            pass_on(error)
            raise Conflict(
                f"op {operation.name} failed: {type(error).__name__}: {error}: correct the operation"
            ) from error
        if not result.schemes:
            raise NotApplicable(f"{operation.name}: made no scheme: give other seeds")
        return result


def _fitting(entities: dict[str, Scheme], made: Sequence[Scheme]) -> list[Scheme]:
    """The entities of a canvas. NotApplicable when there are too many."""
    if len(entities) > MAX_ENTITIES:
        raise NotApplicable(
            f"{len(entities)} entities, {len(made)} of them new: give fewer seeds or operations"
        )
    return list(entities.values())
