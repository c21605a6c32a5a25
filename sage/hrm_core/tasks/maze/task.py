"""Mazes: the shortest way from S to G between random walls, of any size, made fresh or loaded.

Invariant: a label is the first of the shortest ways in the order down, left, right, up, as in the published
Maze-Hard; after a symmetry it is solved again, for the first way does not turn with its maze. Cells: 0 pad,
then "# SGo".
"""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.loaded import Loaded
from sage.hrm_core.tasks.maze.config import CARVERS, MazeConfig
from sage.hrm_core.tasks.maze.grid import (
    box_weights,
    layout_keys,
    layout_weights,
    placed,
    random_turns,
    solve_mazes,
    turned,
    valid_ways,
    with_rim,
    without_rim,
)
from sage.hrm_core.tasks.maze.steps import MazeSteps
from sage.hrm_core.tasks.maze.symbols import GOAL, OPEN, PATH, START, SYMBOLS, WALL
from sage.hrm_core.tasks.maze.text import read, sides_of
from sage.hrm_core.tasks.split import Generated, without_ids

#: Triples of layout, start and goal looked at to see how rare the wanted ones are, and the share that counts
#: as rare.
NUM_TRIAL, RARE = 2000, 0.002
TRIES_A_DRAW = 100_000
#: Of TRIES_A_DRAW random layouts with walls removed each, before the first maze of a call.
MAX_EMPTY_DRAWS = 4
#: Mazes of a file that are checked together.
PART = 4096
#: What reading a file raises that is no .npz, or that is damaged.
_UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
#: Cells that one compiled call looks at, about: a second at most, for it cannot be interrupted.
CELLS_A_CALL = 50_000_000

__all__ = ["LoadedMazes", "MazeConfig", "MazeRules", "MazeTask", "build_maze_task"]


class MazeRules(MazeSteps):
    """What holds for every maze of one size."""

    def __init__(self, size: int, *, name: str = "maze") -> None:
        self.size = size
        self._spec = TaskSpec(name=name, vocab_size=len(SYMBOLS) + 1, seq_len=size**2, grid=(size, size))

    @property
    def spec(self) -> TaskSpec:
        return self._spec

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """A way of the shortest length, whichever."""
        return valid_ways(inputs, answers, self.size, is_shortest=True)

    def scores(self, examples: Examples, answers: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "exact_match": (examples.labels == answers).all(axis=1).astype(np.float64),
            "valid_optimal_path": self.verify(examples.inputs, answers).astype(np.float64),
            "valid_path": (
                valid_ways(examples.inputs, answers, self.size, is_shortest=False).astype(np.float64)
            ),
        }

    def baseline(self, inputs: np.ndarray) -> Baseline:
        return Baseline(name="copy the maze", answers=np.asarray(inputs, np.int32))

    def keys(self, examples: Examples) -> np.ndarray:
        """Of the walls alone: two ways through one layout stay on one side."""
        return layout_keys(examples.inputs, self.size)

    def orbit_keys(self, inputs: np.ndarray) -> np.ndarray:
        """(N,) uint64, equal for a maze and its images under `transform`, and for all ways in one layout."""
        return layout_keys(inputs, self.size).astype(np.uint64)

    def transform(self, examples: Examples, rng: np.random.Generator) -> Examples:
        """Turned and mirrored, then solved again."""
        inputs = turned(examples.inputs, random_turns(len(examples), rng), self.size)
        return Examples(
            inputs=inputs, labels=solve_mazes(inputs, self.size).cells, puzzle_ids=examples.puzzle_ids
        )

    def encode(self, text: str) -> np.ndarray:
        return read(text, self.size)

    def sides(self, text: str) -> list[int]:
        """Sides that the maze of a text may have, the likeliest first."""
        return sides_of(text)

    def decode(self, cells: np.ndarray) -> str:
        symbols = "".join(SYMBOLS[max(int(cell) - 1, 0)] for cell in cells)
        return "\n".join(symbols[at : at + self.size] for at in range(0, len(symbols), self.size))

    def render(self, cells: np.ndarray) -> str:
        """Two characters a cell, so that it looks square."""
        drawn = {WALL: "##", OPEN: "  ", START: "S ", GOAL: "G ", PATH: "o "}
        symbols = [drawn.get(int(cell), "? ") for cell in cells]
        return "\n".join(
            "".join(symbols[at : at + self.size]).rstrip() for at in range(0, len(symbols), self.size)
        )


class MazeTask(MazeRules, Generated):
    """Fresh mazes. Random walls: each triple of walls, start and goal as likely among those with a shortest
    way long enough. Perfect mazes, those with walls removed, and "any": the start is a random open cell, the
    goal a random one among those far enough from it.
    """

    draws_one_side = True
    #: Of TRIES_A_DRAW layouts each, which are seconds where no way is long enough.
    max_empty_draws = 10

    def __init__(self, config: MazeConfig | None = None) -> None:
        self.config = config or MazeConfig()
        MazeRules.__init__(self, self.config.size)
        Generated.__init__(self)

    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        inputs = self._drawn(num, rng, is_held_out=is_held_out)
        return without_ids(inputs, solve_mazes(inputs, self.size).cells)

    def _drawn(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> np.ndarray:
        """(num or fewer, L): at each side that occurs, mazes of that side; in random order."""
        config = self.config
        if not num:
            return np.zeros((0, self.size**2), np.int64)
        if config.sizes is not None:
            sides = rng.integers(config.sizes[0], config.sizes[1] + 1, size=num)
            parts = [
                placed(
                    _of_side(config, side)._drawn(int((sides == side).sum()), rng, is_held_out=is_held_out),
                    self.size,
                    rng,
                )
                for side in np.unique(sides).tolist()
            ]
            return rng.permutation(np.concatenate(parts))
        if config.generator == "random" and not any(config.walls_removed):
            return self._made(num, rng, TRIES_A_DRAW, is_held_out=is_held_out, is_rare=self._is_rare)
        return self._carved(num, rng, is_held_out=is_held_out)

    @cached_property
    def _is_rare(self) -> bool:
        made = self._made(NUM_TRIAL, np.random.default_rng(0), NUM_TRIAL, is_held_out=False, is_rare=False)
        return len(made) < RARE * NUM_TRIAL

    def _made(
        self, num: int, rng: np.random.Generator, max_tries: int, *, is_held_out: bool, is_rare: bool
    ) -> np.ndarray:
        from sage.hrm_core.tasks.loops import chance_from
        from sage.hrm_core.tasks.maze import kernel as maze_kernel

        mazes = with_rim(np.full((num, self.size**2), WALL, np.int64), self.size)
        make = maze_kernel.make_rare if is_rare else maze_kernel.make
        rules, weights = self._rules(is_held_out=is_held_out), self._weights()
        chance, made, left = chance_from(rng), 0, max_tries
        # a layout of rare ways is flooded from each of its cells
        num_tries = max(1, CELLS_A_CALL // mazes.shape[1] ** (2 if is_rare else 1))
        while made < num and left > 0:
            made += make(mazes[made:], self.size + 2, rules, weights, chance, min(left, num_tries))
            left -= num_tries
        return without_rim(mazes[:made], self.size)

    def _carved(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> np.ndarray:
        from sage.hrm_core.tasks.loops import chance_from
        from sage.hrm_core.tasks.maze.carved_kernel import make_carved

        names = ("random", *CARVERS)
        chosen = range(len(names)) if self.config.generator == "any" else [names.index(self.config.generator)]
        mazes = with_rim(np.full((num, self.size**2), WALL, np.int64), self.size)
        rules, weights = self._rules(is_held_out=is_held_out), self._weights()
        fixed = (
            self.size + 2,
            rules,
            np.array(chosen),
            weights,
            box_weights(),
            chance_from(rng),
            TRIES_A_DRAW,
        )
        state, made = np.array([2 * num, 0, 0, 0, 0]), 0
        num_layouts = max(1, CELLS_A_CALL // mazes.shape[1])
        while made < num and (state[0] or state[3]) and (made or state[4] < MAX_EMPTY_DRAWS):
            made += make_carved(mazes[made:], *fixed, state, num_layouts)
        return without_rim(mazes[:made], self.size)

    def _rules(self, *, is_held_out: bool) -> np.ndarray:
        """(7,) int64, as `kernel.make` and `carved_kernel.make_carved` read them."""
        low, high, *removed = (
            round(share * 65536) for share in (*self.config.density, *self.config.walls_removed)
        )
        # Evaluation needs few mazes of one layout, and may take longer to make.
        crowd = (24 if is_held_out else 3) * self.size**2
        return np.array([low, high, self.config.fewest_moves, crowd, int(is_held_out), *removed])

    def _weights(self) -> np.ndarray:
        """(rimmed,): `layout_weights`, 0 in the rim."""
        return np.pad(layout_weights(self.size).reshape(self.size, self.size), 1).reshape(-1)


@cache
def _of_side(config: MazeConfig, side: int) -> MazeTask:
    """The same mazes, all of one side."""
    return MazeTask(dataclasses.replace(config, size=side, sizes=None))


class LoadedMazes(MazeRules, Loaded):
    """Mazes from an .npz with train_inputs, train_labels, dev_inputs, dev_labels (N, size^2), cells as
    above; a label is a shortest way.
    """

    def __init__(self, path: Path) -> None:
        arrays = _load(Path(path))
        MazeRules.__init__(self, round(arrays["dev_inputs"].shape[1] ** 0.5))
        train, dev = (
            without_ids(arrays[f"{side}_inputs"], arrays[f"{side}_labels"]) for side in ("train", "dev")
        )
        Loaded.__init__(self, train, dev)


def _load(path: Path) -> dict[str, np.ndarray]:
    names = [f"{side}_{what}" for side in ("train", "dev") for what in ("inputs", "labels")]
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in names}
    except _UNREADABLE as error:
        raise InputError(
            f"{path}: not a set of mazes: {error}: give an .npz with {', '.join(names)}"
        ) from error
    shapes = [array.shape for array in arrays.values()]
    train, train_labels, dev, dev_labels = shapes
    seq_len = dev[-1] if dev else 0
    is_set = all(len(shape) == 2 and shape[1] == seq_len for shape in shapes)
    if not is_set or round(seq_len**0.5) ** 2 != seq_len or (train, dev) != (train_labels, dev_labels):
        raise InputError(f"{path}: arrays of shapes {shapes}: give (mazes, size * size), a label for each")
    for name, array in arrays.items():
        if array.dtype.kind not in "iu":
            raise InputError(f"{path}: {name} is {array.dtype}: give whole numbers")
    if any(array.size and not WALL <= array.min() <= array.max() <= PATH for array in arrays.values()):
        raise InputError(f"{path}: cells other than 1 to 5: encode mazes as '# SGo' from 1")
    for side in ("train", "dev"):
        _check_labels(path, side, arrays[f"{side}_inputs"], arrays[f"{side}_labels"])
    return arrays


def _check_labels(path: Path, side: str, mazes: np.ndarray, labels: np.ndarray) -> None:
    """InputError for a maze without one start and one goal, or whose label is no shortest way."""
    size = round(mazes.shape[1] ** 0.5)
    for first in range(0, len(mazes), PART):
        part, marked = (array[first : first + PART].astype(np.int64) for array in (mazes, labels))
        has_ends = ((part == START).sum(axis=1) == 1) & ((part == GOAL).sum(axis=1) == 1)
        wrong = np.flatnonzero(~(has_ends & valid_ways(part, marked, size, is_shortest=True)))
        if len(wrong):
            raise InputError(
                f"{path}: maze {first + wrong[0] + 1} of {side}: its label is not a shortest way from one S"
                " to one G: correct or remove it"
            )


def build_maze_task(config: MazeConfig) -> MazeTask | LoadedMazes:
    """From a file where the options name one, else fresh."""
    return MazeTask(config) if config.data is None else LoadedMazes(Path(config.data))
