"""Terms of a search or of `forget`: `key=value`, with times as dates, unix seconds or an age.

Invariant: a term that is not understood raises UserError with the term and what is possible.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np

from sage.app.terminal.errors import UserError, nearest

_COMPARISONS: dict[str, Callable[[np.ndarray, Any], np.ndarray]] = {
    ">=": np.greater_equal,
    "<=": np.less_equal,
    ">": np.greater,
    "<": np.less,
}
_TERM = re.compile(r"\s*([a-z_]+)\s*(>=|<=|!=|=|>|<)\s*(\S.*?)\s*$")
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])$")
_UNIT_SECS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Of a time: its ns fit into 64 bits.
MAX_SECS = 8.8e9
NUMBERS = ("id", "episode", "context", "salience", "trust", "number", "tick")
TEXTS = ("store", "mind", "level")


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One condition on a memory or a puzzle. name: one of NUMBERS, TEXTS, or "time" (value: unix ns)."""

    name: str
    comparison: str
    value: Any

    def holds(
        self,
        columns: Mapping[str, np.ndarray],
        stores: tuple[str, ...],
        mind: str,
        *,
        level: str | None = None,
    ) -> np.ndarray:
        """(n,) bool. A memory that derives from several experiences has all ids, episodes and times between
        the first and the last: it meets a condition when any of them does. A condition on what only puzzles
        have (level, number, tick) holds for no memory, `!=` included.

        stores: the names of their store.  level: of puzzles, None of memories.
        """
        num = len(columns["id"])
        if self.name in TEXTS:
            texts = {"store": stores, "mind": (mind,), "level": (level,)}[self.name]
            is_met = (self.value in texts) is (self.comparison == "=")
            return np.full(num, is_met and texts != (None,))
        if self.name in ("number", "tick") and self.name not in columns:
            return np.zeros(num, bool)
        suffix = "_ns" if self.name == "time" else ""
        last = columns[f"{self.name}{suffix}"]
        first = columns.get(f"first_{self.name}{suffix}", last)
        if self.comparison == "=":
            return np.asarray((first <= self.value) & (self.value <= last))
        if self.comparison == "!=":
            return np.asarray((first != self.value) | (last != self.value))
        compared = first if self.comparison in ("<", "<=") else last
        found: np.ndarray = _COMPARISONS[self.comparison](compared, self.value)
        return found


def parse_terms(texts: Sequence[str], now_ns: int) -> tuple[Term, ...]:
    return tuple(parse_term(text, now_ns) for text in texts)


def parse_term(text: str, now_ns: int) -> Term:
    """`context=2`, `salience>0.5`, `store=recall`, `time=2026-01-31T12:00`, `time>10m` (later than 10
    minutes ago).
    """
    match = _TERM.match(text)
    known = (*NUMBERS, *TEXTS, "time")
    if match is None:
        raise UserError(f"{text!r}: not a term: give KEY=VALUE with a key of {', '.join(known)}")
    name, comparison, value = match.groups()
    if name not in known:
        raise UserError(f"{text!r}: unknown key {name!r}: {nearest(name, known)}")
    if name in TEXTS:
        if comparison not in ("=", "!="):
            raise UserError(f"{text!r}: {name} is text: compare it with = or !=")
        return Term(name=name, comparison=comparison, value=value)
    if name == "time":
        return Term(name=name, comparison=comparison, value=parse_time(value, now_ns))
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if math.isnan(number):  # every memory differs from it
        raise UserError(f"{text!r}: {value!r} is not a number: give one")
    return Term(name=name, comparison=comparison, value=number)


def parse_time(text: str, now_ns: int) -> int:
    """Unix ns of a date (2026-01-31, 2026-01-31T12:00:00; UTC unless it has an offset), of unix seconds, or
    of an age (90s, 10m, 2h, 7d before now).
    """
    age = _AGE.match(text)
    if age is not None:
        return now_ns - _ns_of(text, float(age[1]) * _UNIT_SECS[age[2]])
    try:
        secs = float(text)
    except ValueError:
        pass
    else:
        return _ns_of(text, secs)
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise UserError(
            f"{text!r}: not a time: give a date (2026-01-31T12:00), unix seconds, or an age (10m, 2h, 7d)"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    whole = moment.replace(microsecond=0)
    return _ns_of(text, round(whole.timestamp())) + moment.microsecond * 1000


def _ns_of(text: str, secs: float) -> int:
    if not abs(secs) <= MAX_SECS:
        raise UserError(
            f"{text!r}: {secs:g} s is not between 1700 and 2250: give unix seconds (not ms or ns), a date, or"
            " an age"
        )
    return round(secs * 1e9) if isinstance(secs, float) else secs * 10**9
