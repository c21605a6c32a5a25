"""Which generated puzzles are for training and which for evaluation: decided by the puzzle's own key, equally
in every run.

Invariant: `sample` and `held_out` never share a key, whatever the seeds: one puzzle in HELD_OUT_EVERY is held
out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Examples

HELD_OUT_EVERY = 16
#: Of `held_out`: block b is drawn with the seed (HELD_OUT_SEED, b).
HELD_OUT_SEED = 20260101
BLOCK = 128
#: Of `draw_held_out`, and the end of its seeds: zeros behind a seed change nothing, so that it must not be 0.
DRAWN_BLOCK, _DRAWN = 64, 1
MAX_STALE_BLOCKS = 4

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def row_keys(rows: np.ndarray) -> np.ndarray:
    """(N,) uint64 of rows (N, L) of small integers: equal rows, equal keys."""
    weights = np.random.default_rng(HELD_OUT_SEED).integers(
        0, 2**63, size=rows.shape[1], dtype=np.uint64
    ) | np.uint64(1)
    found: np.ndarray = (mixed(rows.astype(np.uint64)) * weights).sum(axis=1, dtype=np.uint64)
    return found


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Splitmix64's finaliser: each bit of the result hangs on each bit of the number."""
    numbers = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in zip((30, 27), _MIX):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * factor
    return numbers ^ (numbers >> np.uint64(31))


def are_held_out(keys: np.ndarray, every: int = HELD_OUT_EVERY) -> np.ndarray:
    """(N,) bool."""
    found: np.ndarray = mixed(keys) % np.uint64(every) == 0
    return found


def joined(parts: list[Examples]) -> Examples:
    """One after another."""
    if len(parts) == 1:
        return parts[0]
    return Examples(
        inputs=np.concatenate([part.inputs for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        puzzle_ids=np.concatenate([part.puzzle_ids for part in parts]),
    )


def without_ids(inputs: np.ndarray, labels: np.ndarray) -> Examples:
    """Examples that carry no identity."""
    return Examples(
        inputs=np.ascontiguousarray(inputs, np.int32),
        labels=np.ascontiguousarray(labels, np.int32),
        puzzle_ids=np.full(len(inputs), -1, np.int32),
    )


class Generated(ABC):
    """A task that makes its own puzzles. `draw` makes them, this class keeps the two sides apart."""

    #: Whether all that `draw` makes is of the side asked for; else one in HELD_OUT_EVERY is of the one, the
    #: rest of the other.
    draws_one_side = False
    #: Draws in a row that may bring nothing before the options are refused as impossible.
    max_empty_draws = 200

    def __init__(self) -> None:
        self._kept: Examples | None = None
        self._num_blocks = 0

    @abstractmethod
    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        """Make `num` puzzles and return those of one side, any number, also none."""

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        return self._collect(num, rng, is_held_out=False)

    def held_out(self, num: int) -> Examples:
        """No puzzle twice; fewer than `num` where MAX_STALE_BLOCKS blocks in a row brought nothing new."""
        num_stale = 0
        while (self._kept is None or len(self._kept) < num) and num_stale < MAX_STALE_BLOCKS:
            block = self._new_block(BLOCK, (HELD_OUT_SEED, self._num_blocks), self._kept)
            self._num_blocks += 1
            num_stale = 0 if len(block) else num_stale + 1
            self._kept = block if self._kept is None else joined([self._kept, block])
        assert self._kept is not None
        return self._kept.take(slice(num))

    def draw_held_out(self, num: int, seed: Sequence[int], without: Examples) -> Examples:
        """As HeldOutDraws; fewer than `num` as `held_out`."""
        kept, num_blocks, num_stale = without, 0, 0
        while len(kept) - len(without) < num and num_stale < MAX_STALE_BLOCKS:
            num_blocks += 1
            block = self._new_block(DRAWN_BLOCK, (HELD_OUT_SEED, num_blocks, *seed, _DRAWN), kept)
            num_stale = 0 if len(block) else num_stale + 1
            kept = joined([kept, block])
        return kept.take(slice(len(without), len(without) + num))

    def _new_block(self, num: int, seed: tuple[int, ...], kept: Examples | None) -> Examples:
        """Of `num` held-out puzzles those that are not in `kept`, each once."""
        block = self._collect(num, np.random.default_rng(seed), is_held_out=True)
        block = block.take(np.sort(np.unique(row_keys(block.inputs), return_index=True)[1]))
        if kept is None:
            return block
        return block.take(~np.isin(row_keys(block.inputs), row_keys(kept.inputs)))

    def _collect(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        parts: list[Examples] = []
        missing, num_empty = num, 0
        while missing > 0 or not parts:
            parts.append(
                self.draw(self._num_to_draw(missing, is_held_out=is_held_out), rng, is_held_out=is_held_out)
            )
            missing -= len(parts[-1])
            num_empty = 0 if len(parts[-1]) else num_empty + 1
            if num_empty > self.max_empty_draws:
                raise InputError(
                    f"{type(self).__name__}: no such puzzle in {num_empty} draws: loosen the options"
                )
        return joined(parts).take(slice(num))

    def _num_to_draw(self, missing: int, *, is_held_out: bool) -> int:
        if self.draws_one_side:
            return missing
        return missing * HELD_OUT_EVERY if is_held_out else missing + missing // 8 + 4
