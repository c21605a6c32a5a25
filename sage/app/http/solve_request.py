"""The body of a request to /v1/solve, and the query of one to /v1/examples.

Invariant: a SolveRequest is within the server's limits; every error is a Refusal with the key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

from sage.app.http.replies import Refusal
from sage.app.terminal.errors import nearest
from sage.errors import InputError
from sage.hrm_core.solving.settings import USUAL_SEARCH, SolveSettings

_OWN_KEYS = ("model", "puzzle", "puzzles", "timeout_secs", "steps")
SETTING_NAMES = tuple(field.name for field in dataclasses.fields(SolveSettings))


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveLimits:
    """num_row_segments: puzzles x (tries x max_segments + search x search_segments) of one request; room for
    the usual search of every puzzle, beside 65,536.
    num_recorded_segments, num_recorded_calls: of max_segments and search where `steps` is set.
    """

    num_puzzles: int = 256
    num_recorded_segments: int = 256
    num_recorded_calls: int = 1024
    num_row_segments: int = 163_840
    timeout_secs: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveRequest:
    """model: its name; None: the only model.  is_single: the body has `puzzle`, not `puzzles`.
    unsearched: the settings for a task that cannot be searched; those asked for if the body has `search`.
    """

    model: str | None
    puzzles: tuple[str, ...]
    is_single: bool
    settings: SolveSettings
    unsearched: SolveSettings
    timeout_secs: float
    with_steps: bool = False

    def settings_for(self, *, is_searchable: bool) -> SolveSettings:
        return self.settings if is_searchable else self.unsearched


def read_request(fields: dict[str, Any], usual: SolveSettings, limits: SolveLimits) -> SolveRequest:
    """fields: of the body. Refusal 422 where a value is wrong."""
    for key in fields:
        if key not in _OWN_KEYS and key not in SETTING_NAMES:
            _refuse(f"{key[:64]}: no such key: {nearest(key, (*_OWN_KEYS, *SETTING_NAMES))}")
    given = {key: value for key, value in fields.items() if key in SETTING_NAMES}
    try:
        unsearched = usual.changed(**given)
        settings = unsearched if "search" in given else usual.changed(**{**USUAL_SEARCH, **given})
    except InputError as error:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)[:300]) from error
    puzzles = _read_puzzles(fields, limits)
    num_segments = settings.tries * settings.max_segments + settings.search * settings.search_segments
    if len(puzzles) * num_segments > limits.num_row_segments:
        _refuse(
            "puzzles x (tries x max_segments + search x search_segments) is"
            f" {len(puzzles) * num_segments}: give {limits.num_row_segments} or less"
        )
    model = fields.get("model")
    if model is not None and not isinstance(model, str):
        _refuse("model: not text: give a name that /v1/models lists")
    return SolveRequest(
        model=model,
        puzzles=puzzles,
        is_single="puzzle" in fields,
        settings=settings,
        unsearched=unsearched,
        timeout_secs=_read_timeout(fields, limits),
        with_steps=_read_steps(fields, settings, limits),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRequest:
    """model: its name; None: the only model.  seed: 0 to 2^31 - 1."""

    model: str | None
    kind: str
    seed: int


def read_example(query: Mapping[str, str]) -> ExampleRequest:
    """Refusal 422 where a value is wrong."""
    for key in query:
        if key not in ("model", "kind", "seed"):
            _refuse(f"{key[:64]}: no such key: give model, kind or seed")
    seed = query.get("seed", "0")
    if not (seed.isascii() and seed.isdigit() and len(seed) <= 10 and int(seed) < 2**31):
        _refuse("seed: give a whole number from 0 to 2^31 - 1")
    return ExampleRequest(model=query.get("model"), kind=query.get("kind", "easy"), seed=int(seed))


def _read_puzzles(fields: dict[str, Any], limits: SolveLimits) -> tuple[str, ...]:
    if ("puzzle" in fields) == ("puzzles" in fields):
        _refuse("give `puzzle` (one text) or `puzzles` (a list of texts), one of the two")
    puzzles = [fields["puzzle"]] if "puzzle" in fields else fields["puzzles"]
    if not isinstance(puzzles, list) or not puzzles or not all(isinstance(puzzle, str) for puzzle in puzzles):
        _refuse("puzzle: not text" if "puzzle" in fields else "puzzles: not a list of texts, or an empty one")
    if len(puzzles) > limits.num_puzzles:
        _refuse(f"puzzles: {len(puzzles)} of them: send {limits.num_puzzles} or fewer at a time")
    return tuple(puzzles)


def _read_steps(fields: dict[str, Any], settings: SolveSettings, limits: SolveLimits) -> bool:
    wanted = fields.get("steps", False)
    if not isinstance(wanted, bool):
        _refuse("steps: give true or false")
    if wanted and "puzzle" not in fields:
        _refuse("steps: only for one `puzzle`: send the puzzles one at a time")
    for name, most in (
        ("max_segments", limits.num_recorded_segments),
        ("search", limits.num_recorded_calls),
    ):
        if wanted and getattr(settings, name) > most:
            _refuse(f"{name} is {getattr(settings, name)}: with steps give {most} or less")
    return wanted


def _read_timeout(fields: dict[str, Any], limits: SolveLimits) -> float:
    timeout = fields.get("timeout_secs", limits.timeout_secs)
    is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not is_number or not 0 < timeout <= limits.timeout_secs:
        _refuse(f"timeout_secs: give a number above 0, to {limits.timeout_secs:g}")
    return float(timeout)


def _refuse(message: str) -> NoReturn:
    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message)
