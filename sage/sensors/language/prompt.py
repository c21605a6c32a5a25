"""Prompts from a template and the newest readings of named sources.

A template is a text with fields in braces, as in `str.format`:
- `{cpu}`: all values of the source `cpu`, with the names of its channels;
- `{cpu[busy]:.1f}`, `{cpu[0]}`: one value, by the channel's name or its number, with a format;
- `{time_secs:.0f}`: seconds since the run's start.
A value that has not been read yet is the word `unknown`. Invariant: a field looks up readings only; there is
no access to attributes.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.sensors.board import Board, Posted

TIME = "time_secs"
UNKNOWN = "unknown"
_FORMATTER = string.Formatter()


class PromptTemplate:
    """text: see the module. InputError for a field that cannot be parsed, or a format that is not one of
    numbers.
    """

    def __init__(self, text: str) -> None:
        if not text.strip():
            raise InputError("prompt is empty: give a text")
        self._text = text
        try:
            self._fields = [_parsed(name) for _, name, _, _ in _FORMATTER.parse(text) if name is not None]
        except ValueError as error:
            raise InputError(f"prompt: {error}: write a brace as two, {{{{ or }}}}") from None
        try:
            _Sample().vformat(text, (), {})
        except (ValueError, TypeError) as error:
            raise InputError(f"prompt: {error}: correct the format of a field") from None

    @property
    def has_fields(self) -> bool:
        return bool(self._fields)

    def check(self, board: Board) -> None:
        """InputError for a source or a channel that the run does not have."""
        for source, channel in self._fields:
            if source != TIME:
                try:
                    board.require(source, channel)
                except InputError as error:
                    raise InputError(f"prompt: {error}") from None

    def render(self, posted: Posted) -> str:
        return _Fields(posted).vformat(self._text, (), {})


class _Fields(string.Formatter):
    def __init__(self, posted: Posted) -> None:
        self._posted = posted

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        source, channel = _parsed(field_name)
        if source == TIME:
            return self._posted.time_secs, TIME
        names = self._posted.channels.get(source, ())
        values = self._posted.values.get(source)
        if values is None:
            return _Unknown(), source
        if channel is None:
            return _Values(values, names), source
        index = names.index(channel) if isinstance(channel, str) and channel in names else channel
        if isinstance(index, str) or not 0 <= index < len(values):
            return _Unknown(), source
        return float(values[index]), source


class _Sample(string.Formatter):
    """A number in place of each value: what a format makes of it is not used."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return (0.5 if "[" in field_name or field_name == TIME else _Values(np.array([0.5]), ())), field_name


class _Text:
    """As it is formatted without a format, also with a conversion (!s, !r)."""

    def __repr__(self) -> str:
        return format(self, "")


class _Unknown(_Text):
    def __format__(self, spec: str) -> str:
        return UNKNOWN


class _Values(_Text):
    def __init__(self, values: np.ndarray, names: tuple[str, ...]) -> None:
        self._pairs = list(zip(names or [""] * len(values), values.tolist()))

    def __format__(self, spec: str) -> str:
        return ", ".join(
            f"{name} {format(value, spec or '.4g')}" if name else format(value, spec or ".4g")
            for name, value in self._pairs
        )


def _parsed(field: str) -> tuple[str, str | int | None]:
    """The source, which may have dots in its name, and the channel."""
    source, bracket, rest = field.partition("[")
    if not source:
        raise InputError(f"prompt: {{{field}}} names no source: give its name")
    if not bracket:
        return source, None
    if not rest.endswith("]") or "[" in rest or not rest[:-1]:
        raise InputError(f"prompt: {{{field}}} has no channel: write {{source[channel]}}")
    channel = rest[:-1]
    return source, int(channel) if channel.isdecimal() else channel
