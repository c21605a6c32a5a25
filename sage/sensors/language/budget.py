"""A budget of calls, tokens and seconds in sliding windows, on the run's clock.

Invariant: a call is admitted only while every window has room; what it used is counted even where it failed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MINUTE_NS, HOUR_NS = 60 * 10**9, 3600 * 10**9


@dataclass(slots=True)
class _Window:
    """What was used in the last `length_ns`."""

    name: str
    limit: float
    length_ns: int
    used: float = 0.0
    _spent: deque[tuple[int, float]] = field(default_factory=deque)

    def has_room(self, now_ns: int) -> bool:
        while self._spent and self._spent[0][0] <= now_ns - self.length_ns:
            self.used -= self._spent.popleft()[1]
        return self.used < self.limit if self._spent else self.limit > 0

    def spend(self, now_ns: int, amount: float) -> None:
        self._spent.append((now_ns, amount))
        self.used += amount


class Budget:
    """num_refused: calls that were not admitted. Totals: num_calls, num_tokens, num_secs."""

    def __init__(self, *, calls_a_minute: float, tokens_an_hour: float, secs_an_hour: float) -> None:
        self._calls = _Window("calls a minute", calls_a_minute, MINUTE_NS)
        self._tokens = _Window("tokens an hour", tokens_an_hour, HOUR_NS)
        self._secs = _Window("seconds an hour", secs_an_hour, HOUR_NS)
        self.num_calls = 0
        self.num_tokens = 0
        self.num_secs = 0.0
        self.num_refused = 0

    def admit(self, now_ns: int) -> str:
        """Begin a call: "" where there is room, else which limit is reached."""
        full = [each for each in (self._calls, self._tokens, self._secs) if not each.has_room(now_ns)]
        if full:
            self.num_refused += 1
            return f"the budget of {full[0].limit:g} {full[0].name} is used up"
        self._calls.spend(now_ns, 1.0)
        self.num_calls += 1
        return ""

    def settle(self, now_ns: int, num_tokens: int, secs: float) -> None:
        """What an admitted call used."""
        self._tokens.spend(now_ns, num_tokens)
        self._secs.spend(now_ns, secs)
        self.num_tokens += num_tokens
        self.num_secs += secs
