"""The published layout: train/ and test/, each with dataset.json and five arrays for each of its sets;
identifiers.json beside them. HRM's and TRM's builders write it; TRM's adds `total_puzzles`.

inputs, labels (E, L) uint8; puzzle p has the examples puzzle_indices[p]..[p + 1] and the identity
puzzle_identifiers[p]; group g has the puzzles group_indices[g]..[g + 1], one puzzle in all its forms.
Identifier 0 is for puzzles without an identifier of their own. Several sets are concatenated in the order of
dataset.json.
Invariant: every Side is consistent; an inconsistent folder raises DataError with the folder and the array.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sage.errors import DataError, InputError
from sage.hrm_core.tasks.split import row_keys
from sage.user_file import parse_user_json, read_user_text

SIDES = ("train", "test")
SET_NAME = "all"
ARRAYS = ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")
BLANK_NAME = "<blank>"
#: Of the whole numbers in dataset.json: the least that each may be, and the largest of all.
_LEAST = {
    "seq_len": 1,
    "vocab_size": 1,
    "num_puzzle_identifiers": 1,
    "total_groups": 0,
    "total_puzzles": 0,
    "ignore_label_id": -(2**31),
}
_LARGEST = 2**31 - 1
#: Examples that are compared together.
_PART = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """dataset.json, field by field."""

    seq_len: int
    vocab_size: int
    num_puzzle_identifiers: int
    total_groups: int
    mean_puzzle_examples: float
    total_puzzles: int | None = None
    pad_id: int = 0
    ignore_label_id: int | None = 0
    blank_identifier_id: int = 0
    sets: tuple[str, ...] = (SET_NAME,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """train/ or test/. inputs and labels are memory-mapped."""

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
    """Read and check train/ or test/, every set. DataError where the content is wrong."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: give a data set's folder, with train/ and test/")
    metadata = _read_metadata(folder / "dataset.json")
    if not metadata.sets:
        raise DataError(f"{folder / 'dataset.json'}: sets is empty: name at least one set")
    parts = []
    for name in metadata.sets:
        part = Side(metadata=metadata, **{array: _read_array(folder, name, array) for array in ARRAYS})
        _check(part, folder)
        parts.append(part)
    side = parts[0] if len(parts) == 1 else _joined(parts)
    _check_counts(side, folder)
    return side


def _read_array(folder: Path, name: str, array: str) -> np.ndarray:
    file = folder / f"{name}__{array}.npy"
    try:
        found: np.ndarray = np.load(file, mmap_mode="r" if array in ("inputs", "labels") else None)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: cannot be read: {error}: build the data set again") from error
    return found


def _joined(parts: list[Side]) -> Side:
    """Several sets concatenated; the indices of each set are shifted by the sizes of the sets before it."""
    examples = np.cumsum([0, *(part.num_examples for part in parts)])
    puzzles = np.cumsum([0, *(part.num_puzzles for part in parts)])

    def indices(name: str, starts: np.ndarray) -> np.ndarray:
        shifted = [getattr(part, name)[:-1] + start for part, start in zip(parts, starts)]
        return np.concatenate([*shifted, starts[-1:]])

    return Side(
        metadata=parts[0].metadata,
        inputs=np.concatenate([part.inputs for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        puzzle_identifiers=np.concatenate([part.puzzle_identifiers for part in parts]),
        puzzle_indices=indices("puzzle_indices", examples),
        group_indices=indices("group_indices", puzzles),
    )


def _check_counts(side: Side, folder: Path) -> None:
    """Compare the counts of dataset.json with the arrays of all sets together."""
    metadata = side.metadata
    for name, stated, found in (
        ("total_groups", metadata.total_groups, side.num_groups),
        ("total_puzzles", metadata.total_puzzles, side.num_puzzles),
    ):
        if stated is not None and stated != found:
            raise DataError(
                f"{folder / 'dataset.json'}: {name} is {stated}, the arrays have {found}: build the data set"
                " again"
            )


def _read_metadata(file: Path) -> Metadata:
    try:
        fields = parse_user_json(read_user_text(file))
        known = {key: fields[key] for key in Metadata.__dataclass_fields__ if key in fields}
        found = Metadata(**{**known, "sets": tuple(known.get("sets", (SET_NAME,)))})
    except OSError as error:
        raise DataError(
            f"{file}: {(error.strerror or str(error)).lower()}: give a folder with train/ and test/"
        ) from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{file}: not a data set's description: {error}: give a folder with train/ and test/"
        ) from error
    _check_metadata(found, file)
    return found


def _check_metadata(found: Metadata, file: Path) -> None:
    """DataError with the first field whose value is of another kind, or outside its range."""
    optional = ("total_puzzles", "ignore_label_id")
    for name, least in _LEAST.items():
        value = getattr(found, name)
        if value is None and name in optional:
            continue
        if type(value) is not int or not least <= value <= _LARGEST:
            raise DataError(
                f"{file}: {name} is {value!r}: expected a whole number from {least} to {_LARGEST}: correct it"
            )
    mean = found.mean_puzzle_examples
    if isinstance(mean, bool) or not isinstance(mean, (int, float)) or not 0 <= mean <= _LARGEST:
        raise DataError(
            f"{file}: mean_puzzle_examples is {mean!r}: expected a number from 0 to {_LARGEST}: correct it"
        )


def _check_kinds(side: Side, folder: Path) -> None:
    """DataError for an array that does not hold whole numbers, or has another number of axes."""
    for name in ARRAYS:
        array, num_axes = getattr(side, name), 2 if name in ("inputs", "labels") else 1
        if array.dtype.kind not in "iu" or array.ndim != num_axes:
            raise DataError(
                f"{folder}: {name} has {array.ndim} axes of {array.dtype}: expected {num_axes} of whole"
                " numbers: build the data set again"
            )


def need_no_gaps(side: Side, folder: Path) -> None:
    """DataError for a group without puzzles, or a puzzle without examples: neither can be sampled."""
    for name, indices in (("group", side.group_indices), ("puzzle", side.puzzle_indices)):
        empty = np.flatnonzero(indices[1:] <= indices[:-1])
        if len(empty):
            holds = "puzzles" if name == "group" else "examples"
            raise DataError(
                f"{folder}: {name} {empty[0]} has no {holds}, {len(empty)} in all: build the data set without"
                " them"
            )


def _check(side: Side, folder: Path) -> None:
    metadata = side.metadata
    _check_kinds(side, folder)
    shape = (len(side.inputs), metadata.seq_len)
    for name, array in (("inputs", side.inputs), ("labels", side.labels)):
        if array.shape != shape:
            raise DataError(
                f"{folder}: {name} has the shape {array.shape}: expected {shape}: build the data set again"
            )
    for name, indices, last in (
        ("puzzle_indices", side.puzzle_indices, side.num_examples),
        ("group_indices", side.group_indices, side.num_puzzles),
    ):
        is_right = (
            len(indices) > 0
            and indices[0] == 0
            and indices[-1] == last
            and bool((indices[1:] >= indices[:-1]).all())
        )
        if not is_right:
            raise DataError(f"{folder}: {name} does not increase from 0 to {last}: build the data set again")
    if len(side.puzzle_indices) != side.num_puzzles + 1:
        raise DataError(
            f"{folder}: {side.num_puzzles} puzzle_identifiers for {len(side.puzzle_indices) - 1} puzzles:"
            " build it again"
        )
    identifiers = side.puzzle_identifiers
    if len(identifiers) and not 0 <= identifiers.min() <= identifiers.max() < metadata.num_puzzle_identifiers:
        raise DataError(
            f"{folder}: puzzle_identifiers outside 0..{metadata.num_puzzle_identifiers - 1}: build the data"
            " set"
            " again"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """The result of `check`; the dictionaries have the keys train and test.
    num_shared: test examples whose inputs are those of a training example, too: a model may memorize them.
    """

    seq_len: int
    vocab_size: int
    num_identifiers: int
    num_groups: dict[str, int]
    num_puzzles: dict[str, int]
    num_examples: dict[str, int]
    num_shared: int


def check(folder: Path) -> FolderFacts:
    """Read everything, cells included. DataError at the first fault."""
    sides = {name: read_side(Path(folder) / name) for name in SIDES}
    need_no_gaps(sides["train"], Path(folder) / "train")
    metadata = sides["train"].metadata
    for name, side in sides.items():
        found = (side.metadata.seq_len, side.metadata.vocab_size, side.metadata.num_puzzle_identifiers)
        if found != (metadata.seq_len, metadata.vocab_size, metadata.num_puzzle_identifiers):
            raise DataError(
                f"{folder}: train and {name} differ in length, vocabulary or identifiers: build the data set"
                " again"
            )
        for array in (side.inputs, side.labels):
            least, most = (int(get(initial=0)) for get in (array.min, array.max))
            if least < 0 or most >= metadata.vocab_size:
                wrong, bound = (
                    (least, "begins at 0") if least < 0 else (most, f"ends at {metadata.vocab_size - 1}")
                )
                raise DataError(
                    f"{folder}: {name} has cells of {wrong}, the vocabulary {bound}: build the data set again"
                )
    names = read_identifiers(Path(folder))
    if len(names) != metadata.num_puzzle_identifiers:
        raise DataError(
            f"{folder}: identifiers.json has {len(names)} of {metadata.num_puzzle_identifiers} names:"
            " build the"
            " data set again"
        )
    return FolderFacts(
        seq_len=metadata.seq_len,
        vocab_size=metadata.vocab_size,
        num_identifiers=metadata.num_puzzle_identifiers,
        num_groups={name: side.num_groups for name, side in sides.items()},
        num_puzzles={name: side.num_puzzles for name, side in sides.items()},
        num_examples={name: side.num_examples for name, side in sides.items()},
        num_shared=_num_shared(sides["train"], sides["test"]),
    )


def _num_shared(train: Side, test: Side) -> int:
    """Test examples with the inputs of a training example."""
    keys, is_shared = _keys(test.inputs), np.zeros(test.num_examples, bool)
    for start in range(0, train.num_examples, _PART):
        is_shared |= np.isin(keys, row_keys(train.inputs[start : start + _PART]))
    return int(is_shared.sum())


def _keys(inputs: np.ndarray) -> np.ndarray:
    """(N,) equal for equal rows; read in parts, since their numbers take eight bytes a cell."""
    parts = [row_keys(inputs[start : start + _PART]) for start in range(0, len(inputs), _PART)]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def read_identifiers(folder: Path) -> list[str]:
    """The name of each identifier."""
    file = folder / "identifiers.json"
    try:
        names = json.loads(read_user_text(file))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: cannot be read: {error}: build the data set again") from error
    if not isinstance(names, list):
        raise DataError(
            f"{file}: a {type(names).__name__}: expected a list of names: build the data set again"
        )
    return [str(name) for name in names]


def new_folder(out: Path) -> Path:
    """Create `out`. InputError where it exists and is not an empty folder."""
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists and is not empty: give a new folder")
    out.mkdir(parents=True, exist_ok=True)
    return out


def write_identifiers(out: Path, names: list[str]) -> None:
    """Write identifiers.json: the name of identifier 0, then `names`."""
    (out / "identifiers.json").write_text(json.dumps([BLANK_NAME, *names]))


def write_description(folder: Path, metadata: Metadata) -> None:
    (folder / "dataset.json").write_text(json.dumps(asdict(metadata)))


def write_ungrouped(
    folder: Path, inputs: np.ndarray, labels: np.ndarray, *, vocab_size: int, forms: int
) -> None:
    """Write puzzles of one example each, without identifiers, in groups of `forms` consecutive puzzles."""
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
        total_puzzles=num_examples,
        mean_puzzle_examples=1.0,
    )
    write_description(folder, metadata)
