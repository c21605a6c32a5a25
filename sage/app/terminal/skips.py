"""Why sources got no full attention and puzzle streams no segment, counted over a session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sage.app.terminal.figures import count


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipFigures:
    """One reason. num: ticks, of all sources and streams.  by_name: of each, the most first."""

    reason: str
    num: int
    by_name: tuple[tuple[str, int], ...]


class SkipTally:
    """Counts of ticks by reason and by name of a source or stream."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def add(self, name: str, reason: str, num: int = 1) -> None:
        """An empty reason is no skip."""
        if reason and num > 0:
            counts = self._counts.get(reason)
            if counts is None:
                counts = self._counts[reason] = Counter()
            counts[name] += num

    def figures(self) -> tuple[SkipFigures, ...]:
        """The most frequent reason first."""
        found = [
            SkipFigures(reason=reason, num=counts.total(), by_name=tuple(counts.most_common()))
            for reason, counts in self._counts.items()
        ]
        return tuple(sorted(found, key=lambda each: (-each.num, each.reason)))


def skips_line(skips: Sequence[SkipFigures], *, num_reasons: int = 4) -> str:
    """The most frequent reasons in one line, each with the name that it concerns most; "" for none."""
    parts = [f"{each.reason} {count(each.num)}{_most(each)}" for each in skips[:num_reasons]]
    return ", ".join(parts)


def _most(skips: SkipFigures) -> str:
    name, num = skips.by_name[0]
    return f" ({name})" if num == skips.num else f" (most: {name}, {count(num)})"
