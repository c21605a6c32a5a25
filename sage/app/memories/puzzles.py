"""The puzzles in the trainers' folders of a state directory, for `sage memory forget`.

Invariant: a folder that cannot be read raises UserError before any of it is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage.app.config.state_dir import SOLVING_NAME
from sage.app.memories.terms import Term
from sage.app.terminal.errors import UserError
from sage.errors import SageError
from sage.runtime.sleep.puzzles.forget import forget_experiences, leftovers_of, may_hold

#: The value of `store` of a puzzle. Its `mind` is the name of its stream, its `context` its level.
STORE = "puzzles"


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
    for folder in _folders(state_dir):

        def choose(columns: Mapping[str, np.ndarray], stream: str = folder.name) -> np.ndarray:
            return _meets(columns, terms, stream)

        try:
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


def _folders(state_dir: Path) -> list[Path]:
    return sorted(each for each in (state_dir / SOLVING_NAME).glob("*") if each.is_dir())


def _meets(columns: Mapping[str, np.ndarray], terms: Sequence[Term], stream: str) -> np.ndarray:
    """(n,) bool. A puzzle has no id and no salience: no condition on these holds, other than `!=`."""
    unknown = np.full(len(columns["level"]), np.nan)
    known = {
        "id": unknown,
        "episode": np.where(columns["episode"] > 0, columns["episode"], np.nan),
        "context": columns["level"],
        "time_ns": np.where(columns["time_ns"] > 0, columns["time_ns"], np.nan),
        "salience": unknown,
        "trust": columns["trust"],
    }
    is_met = np.ones(len(unknown), bool)
    for term in terms:
        is_met &= term.holds(known, STORE, stream)
    return is_met
