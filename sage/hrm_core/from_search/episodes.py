"""What searches found to learn from: puzzles and partial answers, with labels that the rules proved.

Layout of a folder:  source.json  part-00000.safetensors  part-00001.safetensors ...
Invariant: a part is complete or absent; all parts of a folder come from one source, one model and one budget.
Shapes: M rows, L cells.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from sage.durable import Contents, read_checked, write_checked, write_file
from sage.errors import DataError, InputError

SCHEMA = "episodes/1"
SOURCE_NAME = "source.json"
#: Values of `Episodes.kind`: a puzzle with its solution; a partial answer that the solution extends; one that
#: no solution extends.
PUZZLE, TRUE, DEAD = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Episodes:
    """inputs (M, L) int32: as a model reads them.  labels (M, L) int32: the solution; all IGNORED in a dead
    row.

    puzzle_ids (M,) int32.  kind (M,) int8: PUZZLE, TRUE or DEAD.  puzzle (M,) int64: number of the puzzle in
    its source.  calls (M,) int32: model calls that the puzzle's search took, the plain pass included.
    """

    inputs: np.ndarray
    labels: np.ndarray
    puzzle_ids: np.ndarray
    kind: np.ndarray
    puzzle: np.ndarray
    calls: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: np.ndarray) -> Episodes:
        return Episodes(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    @classmethod
    def empty(cls, num_cells: int) -> Episodes:
        cells, numbers = np.zeros((0, num_cells), np.int32), np.zeros(0, np.int64)
        return cls(
            inputs=cells,
            labels=cells,
            puzzle_ids=numbers.astype(np.int32),
            kind=numbers.astype(np.int8),
            puzzle=numbers,
            calls=numbers.astype(np.int32),
        )

    @classmethod
    def joined(cls, parts: Sequence[Episodes]) -> Episodes:
        """One after another; at least one."""
        return cls(
            **{
                each.name: np.concatenate([getattr(part, each.name) for part in parts])
                for each in fields(cls)
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFigures:
    """num_puzzles: searched.  num_solved: of them.  num_plain: solved by the plain pass.  num_calls: of the
    model.

    is_complete: False where the budget ended before all puzzles of the part were searched.
    """

    num_puzzles: int
    num_solved: int
    num_plain: int
    num_calls: int
    cpu_secs: float
    is_complete: bool


class EpisodeFolder:
    """The parts of one collection, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        return (self.path / SOURCE_NAME).is_file()

    def begin(self, source: Mapping[str, Any]) -> None:
        """Create the folder for this source, or continue it. InputError if it was begun with another source.

        source: plain values that decide what a part contains.
        """
        plain = json.loads(json.dumps(dict(source)))
        if not self.exists:
            self.path.mkdir(parents=True, exist_ok=True)
            write_file(self.path / SOURCE_NAME, (json.dumps(plain, indent=2) + "\n").encode())
            return
        saved = self.source()
        for key in (*plain, *saved):
            if plain.get(key) != saved.get(key):
                raise InputError(
                    f"{self.path}: {key} is {json.dumps(saved.get(key))} in the folder and"
                    f" {json.dumps(plain.get(key))} here: continue with the same, or give another folder"
                )

    def source(self) -> dict[str, Any]:
        """What `begin` was given. DataError if the file is missing or damaged."""
        path = self.path / SOURCE_NAME
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path}: cannot be read ({error}): give a folder that a search for training wrote"
            ) from error
        if not isinstance(found, dict):
            raise DataError(f"{path}: is no mapping: give a folder that a search for training wrote")
        return found

    def write(self, number: int, episodes: Episodes, figures: PartFigures) -> None:
        """Write part `number`, in place of an incomplete one."""
        arrays = {each.name: getattr(episodes, each.name) for each in fields(episodes)}
        scalars = {each.name: getattr(figures, each.name) for each in fields(figures)}
        write_checked(self._part(number), Contents(arrays=arrays, scalars=scalars), schema=SCHEMA)

    def read(self, number: int) -> tuple[Episodes, PartFigures] | None:
        """None if the part is not there. DataError if it is damaged."""
        path = self._part(number)
        try:
            found = read_checked(path, schema=SCHEMA)
            return Episodes(**found.arrays), PartFigures(**found.scalars)
        except FileNotFoundError:
            return None
        except TypeError as error:
            raise DataError(f"{path}: {error}: delete it and collect again") from error

    def read_all(self) -> tuple[Episodes, tuple[PartFigures, ...]]:
        """All parts together. InputError if there is none."""
        found: list[tuple[Episodes, PartFigures]] = []
        while (part := self.read(len(found))) is not None:
            found.append(part)
        if not found:
            raise InputError(f"{self.path}: contains no episodes: collect some first")
        return Episodes.joined([each for each, _ in found]), tuple(figures for _, figures in found)

    def _part(self, number: int) -> Path:
        return self.path / f"part-{number:05d}.safetensors"
