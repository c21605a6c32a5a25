"""Cells of `sage bench whole`: what one arm did in one suite with one seed, its score, and differences of
scores with their intervals by a paired bootstrap over seeds and blocks.

Invariant: a difference is of cells with the same seed, and draws the same blocks for both. Where every seed
has the same blocks, which is so of recordings and puzzles, a draw has the same ones for all seeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

NUM_RESAMPLES = 2000
INTERVAL = (0.025, 0.975)
_TINY = 1e-12
#: Suites whose blocks differ between seeds: the episodes of an examination.
_OWN_BLOCKS = ("robot",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A recording, a level or an examination. rows: sources, or one.  values, reference: (rows, blocks).

    Of recordings: errors, and those of persistence.  Of the others: 1 where a puzzle or an episode was
    solved, and no reference.
    """

    name: str
    rows: tuple[str, ...]
    values: tuple[Any, ...]
    reference: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """cpu_secs: of learning, by recording and quarter or in one number.  facts: for the table and people."""

    suite: str
    arm: str
    seed: int
    groups: tuple[Group, ...]
    cpu_secs: Mapping[str, Sequence[float]]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def total_secs(self) -> float:
        return sum(each[-1] for each in self.cpu_secs.values())


def score(cell: Cell, reference: Cell) -> float:
    """Of recordings: 1 - the geometric mean over sources of its error / that of persistence in the cell
    `reference`, mean over recordings. Of others: the share of solved, mean over groups.
    """
    return _score(_arrays(cell, reference))


#: Of a group: its name, values and the reference of the same rows, None without one.
_Arrays = tuple[str, np.ndarray, "np.ndarray | None"]


def _arrays(cell: Cell, reference: Cell) -> list[_Arrays]:
    found: list[_Arrays] = []
    others = {group.name: group for group in reference.groups}
    for group in cell.groups:
        values, other = np.array(group.values, dtype=float), others[group.name]
        if not other.reference:
            found.append((group.name, values, None))
            continue
        both = [name for name in other.rows if name in group.rows]
        base = np.array(other.reference, dtype=float)[[other.rows.index(name) for name in both]]
        found.append((group.name, values[[group.rows.index(name) for name in both]], base))
    return found


def _score(arrays: Sequence[_Arrays], blocks: Mapping[str, np.ndarray] | None = None) -> float:
    """blocks: by group, those that count; all without it."""
    found = []
    for name, values, base in arrays:
        chosen = slice(None) if blocks is None else blocks[name]
        if base is None:
            found.append(float(values[:, chosen].mean()))
            continue
        ratios = values[:, chosen].sum(1) / np.maximum(base[:, chosen].sum(1), _TINY)
        found.append(float(1.0 - np.exp(np.log(np.maximum(ratios, _TINY)).mean())))
    return float(np.mean(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Scores of the whole less those of an arm: mean over seeds, with its 95% interval."""

    mean: float
    low: float
    high: float
    num_seeds: int


def difference(whole: Mapping[int, Cell], other: Mapping[int, Cell], seed: int = 0) -> Difference | None:
    """Cells by their seed; None without a common one. Seeds are drawn with replacement, and blocks: for all
    seeds together, or for each seed where the blocks are its own.
    """
    seeds = sorted(whole.keys() & other.keys())
    if not seeds:
        return None
    pairs = [tuple(_arrays(cell, whole[each]) for cell in (whole[each], other[each])) for each in seeds]
    generator = np.random.default_rng(seed)

    def gap(pair: Sequence[Sequence[_Arrays]], blocks: Mapping[str, np.ndarray] | None = None) -> float:
        return _score(pair[0], blocks) - _score(pair[1], blocks)

    has_own_blocks = whole[seeds[0]].suite in _OWN_BLOCKS
    drawn = []
    for _ in range(NUM_RESAMPLES):
        chosen = [pairs[index] for index in generator.integers(0, len(pairs), len(pairs))]
        common = _draw(chosen[0][0], generator)
        drawn.append(
            np.mean([gap(pair, _draw(pair[0], generator) if has_own_blocks else common) for pair in chosen])
        )
    low, high = np.quantile(drawn, INTERVAL)
    return Difference(
        mean=float(np.mean([gap(pair) for pair in pairs])),
        low=float(low),
        high=float(high),
        num_seeds=len(seeds),
    )


def _draw(arrays: Sequence[_Arrays], generator: np.random.Generator) -> dict[str, np.ndarray]:
    sizes = {name: values.shape[1] for name, values, _ in arrays}
    return {name: generator.integers(0, size, size) for name, size in sizes.items()}


def kept(folder: Path | None, of: Mapping[str, Any]) -> Cell | None:
    """The finished cell of a folder, if its file is of the same arm, seed and scale."""
    path = None if folder is None else path_of(folder, of)
    if path is None or not path.is_file():
        return None
    found = json.loads(path.read_text())
    return cell_of(found["cell"]) if found["of"] == json.loads(json.dumps(of)) else None


def keep(folder: Path | None, of: Mapping[str, Any], cell: Cell) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, of)
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"of": of, "cell": asdict(cell)}))
    new.replace(path)


def path_of(folder: Path, of: Mapping[str, Any]) -> Path:
    return folder / f"{of['suite']}-{of['arm']['name'].replace(' ', '_')}-{of['seed']}.json"


def cell_of(plain: Mapping[str, Any]) -> Cell:
    """The inverse of `asdict`, after JSON."""
    tupled: Callable[[Any], tuple[Any, ...]] = tuple
    groups = tuple(
        Group(name=each["name"], **{key: tupled(each[key]) for key in ("rows", "values", "reference")})
        for each in plain["groups"]
    )
    return Cell(**{**plain, "groups": groups})
