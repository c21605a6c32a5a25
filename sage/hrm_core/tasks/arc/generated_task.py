"""Generated ARC puzzles as a task: each puzzle, a rule of a family, has an id; its pairs are drawn fresh.

Invariant: a rule is a function of seed, family and variant; training and held-out pairs share rules and no
inputs. Puzzle id: 1 + (number of the family) * variants + variant; id 0 is the blank identifier.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass
from functools import cache

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.arc.generators import FAMILIES, MakePair, check_side
from sage.hrm_core.tasks.arc.grid import COLOUR, NUM_COLOURS, answer_grid, board, room
from sage.hrm_core.tasks.arc.text import decode_grid, encode_grid, render_grid
from sage.hrm_core.tasks.contract import IGNORED, Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.split import Generated, are_held_out, row_keys

#: Training pairs that `verify` accepts, the last ones drawn.
NUM_RECENT = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcGeneratedConfig:
    """families: of rules, by name; empty for all.  variants: puzzles of each family.  side: rows and columns
    of the board, and the most of a grid.  seed: random seed of the rules.
    """

    families: tuple[str, ...] = ()
    variants: int = 32
    side: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for family in self.families:
            if family not in FAMILIES:
                raise InputError(f"families has {family!r}: give some of {', '.join(FAMILIES)}")
        if not 1 <= self.variants <= 1 << 20:
            raise InputError(f"variants is {self.variants}: give 1 to {1 << 20}")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: give 0 or more")
        check_side(self.side)


class ArcGeneratedTask(Generated):
    """Pairs on a board of side x side cells: at random positions in training, at the top left held out."""

    def __init__(self, config: ArcGeneratedConfig | None = None) -> None:
        super().__init__()
        self.config = config or ArcGeneratedConfig()
        self._families = self.config.families or tuple(FAMILIES)
        self._recent: deque[int] = deque(maxlen=NUM_RECENT)

    @property
    def spec(self) -> TaskSpec:
        side = self.config.side
        return TaskSpec(
            name="arc_generated",
            vocab_size=COLOUR + NUM_COLOURS,
            seq_len=side**2,
            grid=(side, side),
            num_puzzle_ids=1 + len(self._families) * self.config.variants,
        )

    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        side = self.config.side
        ids = rng.integers(1, self.spec.num_puzzle_ids, size=num)
        at_corner, inputs, labels = np.zeros((3, num, side**2), np.int32)
        for at, puzzle in enumerate(ids.tolist()):
            family, variant = divmod(puzzle - 1, self.config.variants)
            pair = _rule(self._families[family], variant, side, self.config.seed)(rng)
            place = [int(rng.integers(0, free + 1)) for free in room(pair.input, side=side)]
            row, col = (0, 0) if is_held_out else place
            at_corner[at] = board(pair.input, side=side)
            inputs[at] = board(pair.input, row, col, side=side)
            labels[at] = board(pair.output, row, col, side=side)
        is_mine = are_held_out(row_keys(at_corner)) == is_held_out  # whatever the position
        found = Examples(
            inputs=inputs[is_mine],
            labels=np.where(labels == 0, IGNORED, labels).astype(np.int32)[is_mine],
            puzzle_ids=ids[is_mine].astype(np.int32),
        )
        if not is_held_out:
            self._recent.extend(_pair_keys(found.inputs, found.answers(), side))
        return found

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N,) bool: True where input and answer are a pair that this task has drawn, of training one of the
        last NUM_RECENT: an input alone does not determine its rule. Of an answer the grid counts, not the
        cells around it.
        """
        side, known = self.config.side, set(self._recent.copy())
        if self._kept is not None:
            known.update(_pair_keys(self._kept.inputs, self._kept.answers(), side))
        return np.array([each in known for each in _pair_keys(inputs, answers, side)], bool)

    def baseline(self, inputs: np.ndarray) -> Baseline:
        return Baseline(name="copy the input", answers=np.array(inputs, np.int32))

    def encode(self, text: str) -> np.ndarray:
        """Lines of digits 0..9."""
        return encode_grid(text, self.config.side)

    def decode(self, cells: np.ndarray) -> str:
        return decode_grid(cells, self.config.side)

    def render(self, cells: np.ndarray) -> str:
        return render_grid(cells, self.config.side)


def _pair_keys(inputs: np.ndarray, answers: np.ndarray, side: int) -> list[int]:
    """Of boards (N, L) and the grids of their answers (N, L)."""
    grids = np.zeros_like(inputs)
    for row, (left, right) in enumerate(zip(inputs, answers)):
        grids[row] = board(answer_grid(left, right, side=side), side=side)
    found: list[int] = row_keys(np.hstack([inputs, grids])).tolist()
    return found


@cache
def _rule(family: str, variant: int, side: int, seed: int) -> MakePair:
    return FAMILIES[family](np.random.default_rng((seed, zlib.crc32(family.encode()), variant)), side)
