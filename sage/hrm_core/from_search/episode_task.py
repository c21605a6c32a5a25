"""A task whose training rows are half episodes of searches, half its own.

Invariant: evaluation, rules and shape are the base task's, and so are the rows that are not episodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.hrm_core.from_search.episodes import DEAD, PUZZLE, TRUE, Episodes
from sage.hrm_core.tasks.contract import IGNORED, Examples, Task, TaskSpec

_NAMES = ("episodes", "true", "dead")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """episodes: of all rows; the rest are the base task's.  true, dead: of the episodes' rows; the rest are
    puzzles.  A kind that was not collected leaves its share to the puzzles, or to what there is.

    A dead row stays in the batch for all segments of training, a solved one leaves it sooner: its share of
    the computation is larger than that of the rows.
    """

    episodes: float = 0.5
    true: float = 0.25
    dead: float = 0.25

    def __post_init__(self) -> None:
        for name in _NAMES:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: give a share, 0 to 1")
        if self.true + self.dead > 1:
            raise InputError(
                f"true and dead are {self.true} and {self.dead}: give shares of 1 at most together"
            )


class EpisodeTask:
    """`sample` mixes; everything else is the base task's. num_plain_left_out: rows of puzzles that one plain
    pass solved, which teach nothing that the base task does not.

    Each episode is moved by a random symmetry of the base task, where it has some and `is_moved`. InputError
    where no row is left.
    """

    def __init__(
        self, base: Task, episodes: Episodes, shares: Shares | None = None, *, is_moved: bool = True
    ) -> None:
        spec = base.spec
        cells = episodes.inputs
        if cells.shape[1] != spec.seq_len or (len(cells) and cells.max() >= spec.vocab_size):
            raise InputError(
                f"episodes of {cells.shape[1]} cells: task {spec.name} has {spec.seq_len} cells and"
                f" {spec.vocab_size} symbols: give episodes of the same task and size"
            )
        needed_search = episodes.take(np.flatnonzero(episodes.calls > 1))
        self.num_plain_left_out = len(episodes) - len(needed_search)
        self._base = base
        self._is_moved = is_moved
        self._shares = shares or Shares()
        self._episodes = needed_search
        self._rows = {kind: np.flatnonzero(needed_search.kind == kind) for kind in (PUZZLE, TRUE, DEAD)}
        if not len(needed_search):
            raise InputError(
                "the searches left nothing to learn from: give puzzles that one pass does not solve, or more"
                " model calls"
            )

    @property
    def spec(self) -> TaskSpec:
        return self._base.spec

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        num_episodes = int(rng.binomial(num, self._shares.episodes))
        found = self._base.sample(num - num_episodes, rng)
        if num_episodes:
            found = (
                _joined(found, self._sample_episodes(num_episodes, rng))
                if len(found)
                else (self._sample_episodes(num_episodes, rng))
            )
        return found.take(rng.permutation(num))

    def held_out(self, num: int) -> Examples:
        return self._base.held_out(num)

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return self._base.verify(inputs, answers)

    def __getattr__(self, name: str) -> Any:
        """The optional parts of a task: its baseline, text form, scores, length of an epoch."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._base, name)

    def _sample_episodes(self, num: int, rng: np.random.Generator) -> Examples:
        shares = {
            PUZZLE: 1.0 - self._shares.true - self._shares.dead,
            TRUE: self._shares.true,
            DEAD: self._shares.dead,
        }
        kinds = [kind for kind, rows in self._rows.items() if len(rows)]
        weights = np.array([shares[kind] for kind in kinds])
        if not weights.sum():
            weights = np.ones(len(kinds))
        drawn = rng.choice(kinds, size=num, p=weights / weights.sum())
        rows = np.zeros(num, np.int64)
        for kind in kinds:
            rows[drawn == kind] = rng.choice(self._rows[kind], size=int((drawn == kind).sum()))
        return self._moved(self._episodes.take(rows), rng)

    def _moved(self, episodes: Episodes, rng: np.random.Generator) -> Examples:
        is_dead = episodes.kind == DEAD
        # a dead row has no labels: its own cells are moved in their place
        labels = np.where(is_dead[:, None], episodes.inputs, episodes.labels)
        rows = Examples(inputs=episodes.inputs, labels=labels, puzzle_ids=episodes.puzzle_ids)
        transform = getattr(self._base, "transform", None)
        if transform is not None and self._is_moved:
            rows = transform(rows, rng)
        labels = np.where(is_dead[:, None], IGNORED, rows.labels).astype(np.int32)
        return Examples(inputs=rows.inputs, labels=labels, puzzle_ids=rows.puzzle_ids)


def _joined(one: Examples, other: Examples) -> Examples:
    return Examples(
        inputs=np.concatenate([one.inputs, other.inputs]),
        labels=np.concatenate([one.labels, other.labels]),
        puzzle_ids=np.concatenate([one.puzzle_ids, other.puzzle_ids]),
    )
