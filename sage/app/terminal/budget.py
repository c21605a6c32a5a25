"""Who got the segments of a session's budget: the prediction, each puzzle stream, the work of each device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sage.app.terminal.figures import count, number, percent
from sage.runtime.report import NAN
from sage.runtime.scheduling.work_facts import WorkFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkFigures:
    """num_made: results.  ended: pieces by how they ended, the most frequent first.  trust: at the end."""

    name: str
    num_segments: int
    num_made: int
    ended: tuple[tuple[str, int], ...]
    trust: float = NAN


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetFigures:
    """Segments over the session. streams: by puzzle stream.  most: in one tick."""

    prediction: int = 0
    streams: tuple[tuple[str, int], ...] = ()
    work: tuple[WorkFigures, ...] = ()
    most: int = 0

    @property
    def total(self) -> int:
        shared = sum(num for _, num in self.streams) + sum(each.num_segments for each in self.work)
        return self.prediction + shared


class BudgetTally:
    """Sums over a session. Constant memory."""

    def __init__(self) -> None:
        self._prediction = 0
        self._most = 0
        self._streams: Counter[str] = Counter()
        self._segments: Counter[str] = Counter()
        self._made: Counter[str] = Counter()
        self._ended: dict[str, Counter[str]] = {}
        self._trust: dict[str, float] = {}

    def add(self, prediction: int, streams: Iterable[tuple[str, int]], works: Iterable[WorkFacts]) -> None:
        """One tick. streams: segments by puzzle stream."""
        self._prediction += prediction
        total = prediction
        for name, num in streams:
            self._streams[name] += num
            total += num
        for work in works:
            self._segments[work.name] += work.num_segments
            self._made[work.name] += work.num_made
            self._ended.setdefault(work.name, Counter()).update(work.ended)
            self._trust[work.name] = work.work_trust
            total += work.num_segments
        self._most = max(self._most, total)

    def figures(self) -> BudgetFigures:
        return BudgetFigures(
            prediction=self._prediction,
            streams=tuple(self._streams.items()),
            work=tuple(
                WorkFigures(
                    name=name,
                    num_segments=num,
                    num_made=self._made[name],
                    ended=tuple(self._ended[name].most_common()),
                    trust=self._trust[name],
                )
                for name, num in self._segments.items()
            ),
            most=self._most,
        )


def budget_line(figures: BudgetFigures) -> str:
    """One line; "" where the prediction alone had segments to spend."""
    if not (figures.streams or figures.work) or not figures.total:
        return ""
    spent = [("prediction", figures.prediction), *figures.streams]
    spent += [(each.name, each.num_segments) for each in figures.work]
    shares = ", ".join(f"{name} {percent(num / figures.total)}" for name, num in spent)
    text = f"{count(figures.total)}, at most {count(figures.most)} in a tick: {shares}"
    for each in figures.work:
        ended = ", ".join(f"{word} {count(num)}" for word, num in each.ended) or "no piece"
        text += f"; {each.name}: {count(each.num_made)} results ({ended})"
        if each.trust == each.trust:
            text += f", trust {number(each.trust)}"
    return text
