"""The table of the page's routes. The application, the OpenAPI document, the documentation's test and the
security test are all made from it.

Invariant: no route that changes state is outside of this table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from sage.app.http.replies import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What one path below CONTROL_PREFIX asks of the session. verb, fields: of the control socket."""

    verb: str
    about: str
    fields: tuple[tuple[str, str], ...] = ()


#: By the last part of their paths; the page offers those whose verb the session has.
COMMANDS = {
    "pause": Command(verb="pause", about="Stop ticking after the current tick, with effectors held."),
    "resume": Command(verb="resume", about="Continue after a pause."),
    "estop": Command(verb="estop", about="Stop every effector now."),
    "arm": Command(verb="arm", about="Let effectors act again."),
    "sleep": Command(verb="night", fields=(("action", "start"),), about="Start a night now."),
    "wake": Command(
        verb="night", fields=(("action", "stop"),), about="End the night in progress without its candidate."
    ),
    "snapshot": Command(verb="snapshot", about="Write a snapshot now."),
}
CONTROL_PREFIX = "/api/control/"
#: A name: of an environment and its device, 128 characters each, and a column.
MAX_NAMES, MAX_NAME_CHARS, MAX_SECS = 64, 300, 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """kind: "names" is a list of texts with commas between, "name" one text as it is, repeatable; both have a
    tuple as their value.  low, high: of a number, both allowed.
    """

    name: str
    kind: Literal["names", "name", "number", "integer"]
    about: str
    default: float | None = None
    low: float = 0
    high: float = MAX_SECS

    def read(self, texts: Sequence[str]) -> Any:
        """The value; the last one of a number that is given twice. Refusal 400."""
        if self.kind in ("names", "name"):
            return self._names(texts)
        if not texts:
            return self.default
        text = texts[-1]
        try:
            value = int(text[:20]) if self.kind == "integer" else float(text[:40])
        except ValueError:
            value = math.nan
        if not self.low <= value <= self.high:
            raise _wrong(f"{self.name} is {text[:40]!r}: give a number from {self.low:g} to {self.high:g}")
        return value

    def _names(self, texts: Sequence[str]) -> tuple[str, ...]:
        """() where it is not given."""
        parts = (part for text in texts for part in (text.split(",") if self.kind == "names" else [text]))
        names = tuple(dict.fromkeys(part for part in parts if part))
        if (
            (texts and not names)
            or len(names) > MAX_NAMES
            or max(map(len, names), default=0) > MAX_NAME_CHARS
        ):
            raise _wrong(f"{self.name}: give 1 to {MAX_NAMES} names of up to {MAX_NAME_CHARS} characters")
        return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One route. call: the name of the method of `Endpoints`.  media: of its reply.  more_statuses: beside
    those of every route of its method.
    """

    method: Literal["GET", "POST"]
    path: str
    call: str
    about: str
    parameters: tuple[Parameter, ...] = ()
    media: str = "application/json"
    more_statuses: tuple[int, ...] = ()

    @property
    def changes_state(self) -> bool:
        return self.method == "POST"

    def read(self, given: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """The parameters' values. given: (name, text) each.  Refusal 400 for one that is unknown or wrong."""
        known = {parameter.name for parameter in self.parameters}
        for name, _ in given:
            if name not in known:
                expected = f"give {', '.join(sorted(known))}" if known else "this path takes none"
                raise _wrong(f"{name[:40]}: unknown query parameter: {expected}")
        return {
            parameter.name: parameter.read([text for name, text in given if name == parameter.name])
            for parameter in self.parameters
        }


def _points(default: int) -> Parameter:
    about = "Most points of a series; more are averaged."
    return Parameter(name="points", kind="integer", about=about, default=default, low=2, high=3000)


_SERIES = (
    Parameter(
        name="names",
        kind="names",
        about="Columns of a tick, or SOURCE.column, with commas between. Give names or name, or both.",
    ),
    Parameter(name="name", kind="name", about="One column, whose name may have commas. Repeatable."),
    Parameter(name="from", kind="number", about="Seconds of the session's clock, included."),
    Parameter(name="to", kind="number", about="Seconds of the session's clock, included."),
    _points(600),
)
_SOURCE = (Parameter(name="name", kind="name", about="Of one source, as /api/sources has it."),)
_EVENTS = (
    Parameter(name="limit", kind="integer", about="Most events, the newest.", default=100, low=1, high=1000),
)

ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/live",
        call="live",
        about="A stream of server-sent events: the whole state, at most twice a second, the newest only.",
        media="text/event-stream",
    ),
    Endpoint(method="GET", path="/api/status", call="status", about="State, ticks, durations, commands."),
    Endpoint(
        method="GET", path="/api/sources", call="sources", about="Each source: trust, age, rate, drops."
    ),
    Endpoint(
        method="GET",
        path="/api/picture",
        call="picture",
        about="The newest picture of a source, copied at most twice a second, of at most 320 pixels a side.",
        parameters=_SOURCE,
        media="image/png",
        more_statuses=(204, 304, 404),
    ),
    Endpoint(
        method="GET",
        path="/api/series",
        call="series",
        about="Columns over time, from the store.",
        parameters=_SERIES,
    ),
    Endpoint(
        method="GET",
        path="/api/levels",
        call="levels",
        about="The share of right answers of each level over time, and the returns of worlds.",
        parameters=(_points(300),),
    ),
    Endpoint(method="GET", path="/api/nights", call="nights", about="The reports of nights."),
    Endpoint(method="GET", path="/api/events", call="events", about="The newest events.", parameters=_EVENTS),
    Endpoint(
        method="GET",
        path="/api/puzzles",
        call="puzzles",
        about="Each stream: its levels, and the puzzle in hand as its answer forms over segments.",
    ),
    Endpoint(
        method="GET",
        path="/metrics",
        call="metrics",
        about="The figures in Prometheus' text format.",
        media="text/plain",
    ),
    Endpoint(method="GET", path="/openapi.json", call="document", about="This document."),
    Endpoint(method="GET", path="/healthz", call="health", about="Whether the server answers."),
    *(
        Endpoint(method="POST", path=f"{CONTROL_PREFIX}{name}", call="control", about=command.about)
        for name, command in COMMANDS.items()
    ),
)


def _wrong(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, message)
