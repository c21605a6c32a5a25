"""What a session earned in the worlds that move by its actions: the returns of their episodes.

Invariant: constant memory; an episode counts when it has ended.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field

from sage.app.terminal.figures import count, number
from sage.runtime.report import NAN, ActingFacts

#: Episodes at each end of a session that its first and its last return are of.
NUM_COMPARED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldFigures:
    """One world in this session. first, last: median return of its first and its last num_compared
    episodes.
    """

    world: str
    num_episodes: int
    num_compared: int
    first: float = NAN
    last: float = NAN


@dataclass(slots=True)
class _Tally:
    num_before: int
    num_episodes: int = 0
    first: list[float] = field(default_factory=list)
    last: deque[float] = field(default_factory=lambda: deque(maxlen=NUM_COMPARED))


class ActingTally:
    """Returns of episodes, world by world."""

    def __init__(self) -> None:
        self._worlds: dict[str, _Tally] = {}

    def add(self, facts: ActingFacts) -> None:
        """One tick of one world."""
        tally = self._worlds.setdefault(facts.world, _Tally(num_before=0))
        if facts.num_episodes <= tally.num_before:
            return
        tally.num_before = facts.num_episodes
        tally.num_episodes += 1
        tally.last.append(facts.last_return)
        if len(tally.first) < NUM_COMPARED:
            tally.first.append(facts.last_return)

    def figures(self) -> tuple[WorldFigures, ...]:
        return tuple(
            WorldFigures(
                world=world,
                num_episodes=tally.num_episodes,
                num_compared=len(tally.last),
                first=statistics.median(tally.first) if tally.first else NAN,
                last=statistics.median(tally.last) if tally.last else NAN,
            )
            for world, tally in self._worlds.items()
        )


def earned_line(figures: WorldFigures) -> str:
    """For the summary: how the return changed from the first episodes to the last."""
    if not figures.num_episodes:
        return "no episode has ended"
    return (
        f"median return {number(figures.first)} in the first {figures.num_compared} episodes,"
        f" {number(figures.last)} in the last {figures.num_compared}; {count(figures.num_episodes)} episodes"
    )
