"""What a session earned in the worlds that move by its actions: returns of their episodes, and successes.

Invariant: constant memory; an episode counts when it has ended.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sage.app.terminal.figures import count, number, percent
from sage.runtime.report import NAN, ActingFacts
from sage.sensors.environment import Baseline

#: Episodes at each end of a session that its first and its last return are of.
NUM_COMPARED = 20
#: Of the normal distribution: intervals are of 95%.
_QUANTILE = 1.96
_MAX_BLOCKS = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many episodes of a stretch, or of a policy, reached their goal."""

    num_succeeded: int
    num_episodes: int

    @property
    def share(self) -> float:
        return self.num_succeeded / self.num_episodes if self.num_episodes else NAN

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95% (Wilson 1927): holds for few episodes, and for shares near 0 and 1."""
        num, square = self.num_episodes, _QUANTILE**2
        if not num:
            return NAN, NAN
        middle = (self.share + square / (2 * num)) / (1 + square / num)
        spread = math.sqrt(self.share * (1 - self.share) / num + square / (4 * num**2))
        half = _QUANTILE * spread / (1 + square / num)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldFigures:
    """One world in this session. first, last: median return of its first and its last num_compared
    episodes.  first_third, last_third: successes in the first and the last third of the episodes, None in a
    world that states none.  baselines: (policy, successes) of other policies in the same world.
    """

    world: str
    num_episodes: int
    num_compared: int
    first: float = NAN
    last: float = NAN
    first_third: Share | None = None
    last_third: Share | None = None
    baselines: tuple[tuple[str, Share], ...] = ()


class Successes:
    """Outcomes of episodes in order, as sums over at most _MAX_BLOCKS blocks of equal length."""

    def __init__(self) -> None:
        self._blocks: list[tuple[int, int]] = []  # (succeeded, episodes)
        self._size = 1

    def add(self, is_success: bool) -> None:
        if not self._blocks or self._blocks[-1][1] == self._size:
            if len(self._blocks) == _MAX_BLOCKS:
                pairs = zip(self._blocks[::2], self._blocks[1::2])
                self._blocks = [(a + c, b + d) for (a, b), (c, d) in pairs]
                self._size *= 2
            self._blocks.append((0, 0))
        succeeded, episodes = self._blocks[-1]
        self._blocks[-1] = (succeeded + is_success, episodes + 1)

    def thirds(self) -> tuple[Share, Share] | None:
        """The first and the last third, to within a block; None with fewer than 3 episodes."""
        num = len(self._blocks) // 3
        return (_sum(self._blocks[:num]), _sum(self._blocks[-num:])) if num else None


def _sum(blocks: Sequence[tuple[int, int]]) -> Share:
    return Share(
        num_succeeded=sum(succeeded for succeeded, _ in blocks),
        num_episodes=sum(episodes for _, episodes in blocks),
    )


@dataclass(slots=True)
class _Tally:
    num_before: int
    num_episodes: int = 0
    first: list[float] = field(default_factory=list)
    last: deque[float] = field(default_factory=lambda: deque(maxlen=NUM_COMPARED))
    successes: Successes = field(default_factory=Successes)
    baselines: tuple[tuple[str, Share], ...] = ()


class ActingTally:
    """Returns and successes of episodes, world by world."""

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
        if math.isfinite(facts.last_success):
            tally.successes.add(facts.last_success > 0)

    def note_baselines(self, world: str, baselines: Sequence[Baseline]) -> None:
        """At the end: what other policies reached in the same world."""
        if world in self._worlds:
            self._worlds[world].baselines = tuple(
                (each.policy, Share(num_succeeded=each.num_succeeded, num_episodes=each.num_episodes))
                for each in baselines
            )

    def figures(self) -> tuple[WorldFigures, ...]:
        return tuple(_figures(world, tally) for world, tally in self._worlds.items())


def _figures(world: str, tally: _Tally) -> WorldFigures:
    thirds = tally.successes.thirds()
    return WorldFigures(
        world=world,
        num_episodes=tally.num_episodes,
        num_compared=len(tally.last),
        first=statistics.median(tally.first) if tally.first else NAN,
        last=statistics.median(tally.last) if tally.last else NAN,
        first_third=thirds[0] if thirds else None,
        last_third=thirds[1] if thirds else None,
        baselines=tally.baselines,
    )


def earned_lines(figures: WorldFigures) -> Iterator[str]:
    """For the summary: how success, where the world states it, and the return changed over the episodes."""
    if not figures.num_episodes:
        yield "no episode has ended"
        return
    if figures.first_third is not None and figures.last_third is not None:
        yield (
            f"goal reached in {_share(figures.first_third)} of the first third of the episodes,"
            f" {_share(figures.last_third)} of the last third"
        )
    if figures.baselines:
        parts = ", ".join(f"{policy} {_share(share)}" for policy, share in figures.baselines)
        yield f"other policies in the same world: {parts}; 95% intervals"
    yield (
        f"median return {number(figures.first)} in the first {figures.num_compared} episodes,"
        f" {number(figures.last)} in the last {figures.num_compared}; {count(figures.num_episodes)} episodes"
    )


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{percent(share.share)} ({percent(low)} to {percent(high)})"
