"""The puzzles in the trainers' folders of a state directory, for `sage memory forget`.

Invariant: a folder that cannot be read raises UserError before any of it is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage.app.memories.streams import level_name, meets, stream_folders
from sage.app.memories.terms import Term
from sage.app.terminal.errors import UserError
from sage.errors import SageError
from sage.runtime.sleep.puzzles.contents import level_names
from sage.runtime.sleep.puzzles.forget import Choice, forget_experiences, leftovers_of, may_hold
from sage.runtime.sleep.puzzles.runs import read_snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Puzzles:
    """Deleted puzzles: num_by_table as STREAM TABLE, num_rows of journals, num_undated as in
    ForgottenPuzzles.  leftovers: damaged files that have such a puzzle or cannot be read.
    """

    num_by_table: dict[str, int]
    num_rows: int
    num_undated: int
    leftovers: tuple[Path, ...]


def forget_puzzles(state_dir: Path, terms: Sequence[Term], *, is_dry: bool) -> Puzzles:
    """Delete the puzzles that meet every term, from each trainer's folder. is_dry: only count."""
    num_by_table: dict[str, int] = {}
    num_rows = num_undated = 0
    leftovers: list[Path] = []
    for folder in stream_folders(state_dir):
        try:
            choose = _choice(folder, terms)
            found = forget_experiences(folder, choose, is_dry=is_dry)
        except SageError as error:
            raise UserError(f"{folder}: its puzzles cannot be read ({error}): delete the folder") from error
        num_by_table |= {f"{folder.name} {name}": num for name, num in found.num_by_table.items()}
        num_rows += found.num_rows
        num_undated += found.num_undated
        leftovers += [each for each in leftovers_of(folder) if may_hold(each, choose)]
    return Puzzles(
        num_by_table=num_by_table, num_rows=num_rows, num_undated=num_undated, leftovers=tuple(leftovers)
    )


def _choice(folder: Path, terms: Sequence[Term]) -> Choice:
    """Whether an experience of the folder meets every term."""
    names = level_names(folder, read_snapshot(folder))

    def choose(level: int, table: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        name = level_name(names, level)
        return meets(columns, terms, stream=folder.name, table=table, level=level, name=name)

    return choose
