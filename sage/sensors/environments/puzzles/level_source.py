"""Puzzles of one level, in batches that depend on the seed and the batch's index alone.

Invariant: a batch is a pure function of (level, seed, index), so that it does not matter when it is drawn or
on which thread.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sage.errors import DataError, InputError, SageError
from sage.hrm_core.datasets.puzzle_file import PuzzleFile, read_puzzle_file
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Examples, Task
from sage.hrm_core.tasks.orbits import orbit_keys
from sage.sensors.environment import Level
from sage.sensors.environments.puzzles.config import LevelConfig

#: Puzzles in a batch of a generator.
BATCH = 16


class LevelSource:
    """task: verifies answers, and generates the puzzles where there is no file.  has_solutions: a teacher can
    show them.

    Constructed from a LevelConfig; InputError in one line for an unknown task or option, or a bad file.
    """

    def __init__(self, config: LevelConfig, *, index: int, seed: int, base_dir: Path) -> None:
        self.task = _task(config)
        self._name = config.name or _name(config, self.task)
        self._config = config
        self._entropy = (seed, index)
        self._file = _read(config.file, config, self.task, base_dir)
        self._held_out_file = self._without_posed(_read(config.held_out_file, config, self.task, base_dir))
        self.has_solutions = self._file is None or self._file.has_solutions

    def _without_posed(self, held_out: PuzzleFile | None) -> PuzzleFile | None:
        """The puzzles of the other file that the stream does not pose, also not in a symmetric form."""
        if held_out is None or self._file is None:
            return held_out
        posed, measured = (orbit_keys(self.task, each.puzzles.inputs) for each in (self._file, held_out))
        is_other = ~np.isin(measured, posed)
        if not is_other.any():
            raise InputError(
                f"{self._config.held_out_file}: every puzzle is in {self._config.file} too: give others"
            )
        return replace(held_out, puzzles=held_out.puzzles.take(is_other))

    @property
    def level(self) -> Level:
        return Level(
            name=self._name,
            task=self._config.task,
            options=tuple(sorted(self._config.options.items())),
            num_cells=self.task.spec.seq_len,
        )

    def batch(self, index: int) -> Examples:
        """BATCH generated puzzles, or all puzzles of the file in a new random order."""
        rng = np.random.default_rng((*self._entropy, index))
        if self._file is None:
            return self.task.sample(BATCH, rng)
        puzzles = self._file.puzzles
        return puzzles.take(rng.permutation(len(puzzles)))

    def held_out(self, num: int) -> Examples:
        """The first `num` (or all there are) puzzles that the stream never poses. InputError for a file
        without any.
        """
        if self._file is None:
            return self.task.held_out(num)
        held_out = self._file.held_out if self._held_out_file is None else self._held_out_file.puzzles
        if not len(held_out):
            raise InputError(
                f"level {self._name}: {self._config.file} holds no puzzles out: give held_out_file"
            )
        return held_out.take(slice(num))


def _task(config: LevelConfig) -> Task:
    try:
        task = make_task(config.task, **config.options)
    except SageError as error:
        raise InputError(str(error)) from error
    for name in ("sample", "held_out", "verify"):
        if not hasattr(task, name):
            raise InputError(f"task {config.task}: it has no method {name}: give a task of the catalogue")
    return task


def _name(config: LevelConfig, task: Task) -> str:
    grid = task.spec.grid
    name = config.task if grid is None else f"{config.task} {grid[0]}x{grid[1]}"
    return name if config.file is None else f"{name} ({config.file.stem})"


def _read(path: Path | None, config: LevelConfig, task: Task, base_dir: Path) -> PuzzleFile | None:
    if path is None:
        return None
    try:
        return read_puzzle_file(base_dir / path.expanduser(), config.task, task)
    except (InputError, DataError) as error:
        raise InputError(str(error)) from error
