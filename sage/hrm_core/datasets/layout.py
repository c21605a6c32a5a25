"""The layout: train/ and test/, each with dataset.json and five arrays; identifiers.json beside them.

inputs, labels (E, L) uint8; puzzle p has the examples puzzle_indices[p]..[p + 1] and the identity
puzzle_identifiers[p]; group g has the puzzles group_indices[g]..[g + 1], one puzzle in all its forms.
Identifier 0 is nobody's.
Invariant: a Side that exists is consistent; what is not is a InputError that names the folder and the array.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sage.errors import InputError

SIDES = ("train", "test")
SET_NAME = "all"
ARRAYS = ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")
BLANK_NAME = "<blank>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """dataset.json, field by field."""

    seq_len: int
    vocab_size: int
    num_puzzle_identifiers: int
    total_groups: int
    mean_puzzle_examples: float
    pad_id: int = 0
    ignore_label_id: int | None = 0
    blank_identifier_id: int = 0
    sets: tuple[str, ...] = (SET_NAME,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two folders. Large arrays are mapped, not read."""

    metadata: Metadata
    inputs: np.ndarray
    labels: np.ndarray
    puzzle_identifiers: np.ndarray
    puzzle_indices: np.ndarray
    group_indices: np.ndarray

    @property
    def num_examples(self) -> int:
        return len(self.inputs)

    @property
    def num_puzzles(self) -> int:
        return len(self.puzzle_identifiers)

    @property
    def num_groups(self) -> int:
        return len(self.group_indices) - 1


def read_side(folder: Path) -> Side:
    """Read and check one of train/ and test/."""
    metadata = _read_metadata(folder / "dataset.json")
    name = metadata.sets[0]
    arrays = {}
    for array in ARRAYS:
        file = folder / f"{name}__{array}.npy"
        try:
            arrays[array] = np.load(file, mmap_mode="r" if array in ("inputs", "labels") else None)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{file}: cannot be read: {error}: build the data set again") from error
    side = Side(metadata=metadata, **arrays)
    _check(side, folder)
    return side


def _read_metadata(file: Path) -> Metadata:
    try:
        fields = json.loads(file.read_text())
        known = {key: fields[key] for key in Metadata.__dataclass_fields__ if key in fields}
        return Metadata(**{**known, "sets": tuple(known.get("sets", (SET_NAME,)))})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: not a data set's description: {error}: give a folder with train/ and test/"
        ) from error


def _check(side: Side, folder: Path) -> None:
    metadata = side.metadata
    shape = (len(side.inputs), metadata.seq_len)
    for name, array in (("inputs", side.inputs), ("labels", side.labels)):
        if array.shape != shape:
            raise InputError(
                f"{folder}: {name} has the shape {array.shape}: {shape} is wanted: build the data set again"
            )
    for name, indices, last in (
        ("puzzle_indices", side.puzzle_indices, side.num_examples),
        ("group_indices", side.group_indices, side.num_puzzles),
    ):
        is_right = (
            indices.ndim == 1
            and len(indices) > 0
            and indices[0] == 0
            and indices[-1] == last
            and bool((np.diff(indices) >= 0).all())
        )
        if not is_right:
            raise InputError(f"{folder}: {name} does not rise from 0 to {last}: build the data set again")
    if len(side.puzzle_indices) != side.num_puzzles + 1:
        raise InputError(
            f"{folder}: {side.num_puzzles} puzzle_identifiers for {len(side.puzzle_indices) - 1} puzzles:"
            " build it again"
        )
    identifiers = side.puzzle_identifiers
    if len(identifiers) and not 0 <= identifiers.min() <= identifiers.max() < metadata.num_puzzle_identifiers:
        raise InputError(
            f"{folder}: puzzle_identifiers go beyond {metadata.num_puzzle_identifiers}: build the data set"
            " again"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """What `check` found."""

    seq_len: int
    vocab_size: int
    num_identifiers: int
    num_groups: dict[str, int]
    num_puzzles: dict[str, int]
    num_examples: dict[str, int]


def check(folder: Path) -> FolderFacts:
    """Read everything, cells included; InputError at the first thing that is wrong."""
    sides = {name: read_side(Path(folder) / name) for name in SIDES}
    metadata = sides["train"].metadata
    for name, side in sides.items():
        found = (side.metadata.seq_len, side.metadata.vocab_size, side.metadata.num_puzzle_identifiers)
        if found != (metadata.seq_len, metadata.vocab_size, metadata.num_puzzle_identifiers):
            raise InputError(
                f"{folder}: train and {name} differ in length, vocabulary or identifiers: build the data set"
                " again"
            )
        for array in (side.inputs, side.labels):
            if len(array) and int(array.max()) >= metadata.vocab_size:
                raise InputError(
                    f"{folder}: {name} has cells of {int(array.max())}, its vocabulary ends at"
                    f" {metadata.vocab_size - 1}"
                )
    names = read_identifiers(Path(folder))
    if len(names) != metadata.num_puzzle_identifiers:
        raise InputError(
            f"{folder}: identifiers.json names {len(names)} of {metadata.num_puzzle_identifiers}: build the"
            " data set again"
        )
    return FolderFacts(
        seq_len=metadata.seq_len,
        vocab_size=metadata.vocab_size,
        num_identifiers=metadata.num_puzzle_identifiers,
        num_groups={name: side.num_groups for name, side in sides.items()},
        num_puzzles={name: side.num_puzzles for name, side in sides.items()},
        num_examples={name: side.num_examples for name, side in sides.items()},
    )


def read_identifiers(folder: Path) -> list[str]:
    """The name of each identifier."""
    file = folder / "identifiers.json"
    try:
        names = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read: {error}: build the data set again") from error
    if not isinstance(names, list):
        raise TypeError(
            f"{file}: a {type(names).__name__}: a list of names is wanted: build the data set again"
        )
    return [str(name) for name in names]


def new_folder(out: Path) -> Path:
    """`out`, made; InputError where something is in it."""
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there and not empty: give a new folder")
    out.mkdir(parents=True, exist_ok=True)
    return out


def write_identifiers(out: Path, names: list[str]) -> None:
    """Nobody's first, then `names`."""
    (out / "identifiers.json").write_text(json.dumps([BLANK_NAME, *names]))


def write_description(folder: Path, metadata: Metadata) -> None:
    (folder / "dataset.json").write_text(json.dumps(asdict(metadata)))


def write_ungrouped(
    folder: Path, inputs: np.ndarray, labels: np.ndarray, *, vocab_size: int, forms: int
) -> None:
    """Puzzles of one example and no identity, `forms` after each other being one group."""
    num_examples, seq_len = inputs.shape
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {
        "inputs": inputs.astype(np.uint8),
        "labels": labels.astype(np.uint8),
        "puzzle_identifiers": np.zeros(num_examples, np.int32),
        "puzzle_indices": np.arange(num_examples + 1, dtype=np.int32),
        "group_indices": np.arange(0, num_examples + 1, forms, dtype=np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{SET_NAME}__{name}.npy", array)
    metadata = Metadata(
        seq_len=seq_len,
        vocab_size=vocab_size,
        num_puzzle_identifiers=1,
        total_groups=num_examples // forms,
        mean_puzzle_examples=1.0,
    )
    write_description(folder, metadata)
