"""Build a data set of ARC: each puzzle is a group, each of its augmented forms has its own identifier.

Invariants: train/ has all pairs of training puzzles and the demonstrations of evaluation puzzles; test/ has
the tests of evaluation puzzles, in the same forms with the same identifiers. The forms of a puzzle are
distinct. Everything is read and checked before anything is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage.errors import InputError
from sage.hrm_core.datasets.layout import (
    SET_NAME,
    FolderFacts,
    Metadata,
    check,
    new_folder,
    write_description,
    write_identifiers,
)
from sage.hrm_core.tasks.arc.grid import (
    BOARD,
    COLOUR,
    NUM_COLOURS,
    Augmentation,
    board,
    random_augmentation,
    room,
)
from sage.hrm_core.tasks.arc.source import (
    ArcPuzzle,
    Pair,
    check_names,
    load_arc,
    to_json,
    without_leaks,
)

#: Random draws for each form; a puzzle with few distinct forms gets fewer than `num_aug`.
DRAWS_PER_FORM = 5
#: Separator of the parts of a form's name, by builder.
_MARKS = {"hrm": "_", "trm": "|||"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """The pairs of a puzzle that one side has, in each of the forms.  is_moved: all pairs but one are placed
    at a random position of the board.
    """

    puzzle: ArcPuzzle
    pairs: tuple[Pair, ...]
    forms: tuple[Augmentation, ...]
    is_moved: bool


def build_arc(
    source: str | Path = "arc1",
    *,
    out: Path,
    subsample_size: int | None = None,
    num_aug: int = 1000,
    seed: int = 0,
    more: tuple[str, ...] = (),
    names: str = "hrm",
) -> FolderFacts:
    """Write the data set to the new folder `out` and return the facts that `check` reads from it.

    source: arc1, arc2, or a folder with training and evaluation puzzles, Kaggle's two-file form included.
    more: further training folders (ConceptARC's corpus).  subsample_size: number of training puzzles drawn.
    names: the format of form names, "hrm" (NAME_t3_0123456789) or "trm" (NAME|||t3|||0123456789). HRM's and
    TRM's evaluation read their own format only; SAGE reads both. InputError for a wrong option, DataError
    for a wrong file.
    """
    if names not in _MARKS:
        raise InputError(f"names is {names!r}: give one of {', '.join(_MARKS)}")
    mark = _MARKS[names]
    if num_aug < 0 or (subsample_size is not None and subsample_size < 1):
        raise InputError(
            f"num_aug is {num_aug}, subsample_size is {subsample_size}: give 0 or more forms, 1 puzzle or"
            " more"
        )
    rng = np.random.default_rng(seed)
    evaluation = load_arc(str(source), "evaluation")
    read = [puzzle for each in (str(source), *more) for puzzle in load_arc(each, "training")]
    training = without_leaks(tuple(read), evaluation)
    check_names(training)  # an identifier is a name
    if subsample_size is not None and subsample_size < len(training):
        training = tuple(
            training[at] for at in sorted(rng.choice(len(training), size=subsample_size, replace=False))
        )
    out = new_folder(out)
    groups: dict[str, list[_Group]] = {"train": [], "test": []}
    for puzzle in training:
        pairs = puzzle.demonstrations + puzzle.tests
        groups["train"].append(
            _Group(puzzle=puzzle, pairs=pairs, forms=_forms(puzzle, num_aug, rng), is_moved=True)
        )
    for puzzle in evaluation:
        forms = _forms(puzzle, num_aug, rng)
        groups["train"].append(
            _Group(puzzle=puzzle, pairs=puzzle.demonstrations, forms=forms, is_moved=False)
        )
        groups["test"].append(_Group(puzzle=puzzle, pairs=puzzle.tests, forms=forms, is_moved=False))
    identifiers = [
        form.name(group.puzzle.name, mark=mark) for group in groups["train"] for form in group.forms
    ]
    numbers = {name: number for number, name in enumerate(identifiers, start=1)}
    for side, mine in groups.items():
        _write(out / side, mine, numbers, rng, mark)
    write_identifiers(out, identifiers)
    # TRM's evaluation reads the evaluation puzzles from here.
    (out / "test_puzzles.json").write_text(json.dumps({each.name: to_json(each) for each in evaluation}))
    return check(out)


def _forms(puzzle: ArcPuzzle, num_aug: int, rng: np.random.Generator) -> tuple[Augmentation, ...]:
    """The identity, and up to `num_aug` random augmentations whose grids differ from each other."""
    forms = [Augmentation()]
    seen = {_look(puzzle, forms[0])}
    for _ in range(DRAWS_PER_FORM * num_aug):
        if len(forms) > num_aug:
            break
        form = random_augmentation(rng)
        if (look := _look(puzzle, form)) not in seen:
            seen.add(look)
            forms.append(form)
    return tuple(forms)


def _look(puzzle: ArcPuzzle, form: Augmentation) -> int:
    grids = [
        form.applied(grid)
        for pair in puzzle.demonstrations + puzzle.tests
        for grid in (pair.input, pair.output)
    ]
    return hash(tuple((grid.shape, grid.astype(np.uint8).tobytes()) for grid in grids))


def _write(
    folder: Path, groups: list[_Group], numbers: dict[str, int], rng: np.random.Generator, mark: str
) -> None:
    """Write one side through memory maps: 1,000 forms of 1,000 puzzles are several gigabytes."""
    folder.mkdir(parents=True)
    num_examples = sum(len(group.pairs) * len(group.forms) for group in groups)
    shape = (num_examples, BOARD**2)
    inputs, labels = (
        np.lib.format.open_memmap(folder / f"{SET_NAME}__{name}.npy", mode="w+", dtype=np.uint8, shape=shape)
        for name in ("inputs", "labels")
    )
    identifiers, puzzle_indices, group_indices, at = [], [0], [0], 0
    for group in groups:
        for form in group.forms:
            for left, right in _boards(group, form, rng):
                inputs[at], labels[at] = left, right
                at += 1
            identifiers.append(numbers[form.name(group.puzzle.name, mark=mark)])
            puzzle_indices.append(at)
        group_indices.append(len(identifiers))
    inputs.flush()
    labels.flush()
    for name, values in (
        ("puzzle_identifiers", identifiers),
        ("puzzle_indices", puzzle_indices),
        ("group_indices", group_indices),
    ):
        np.save(folder / f"{SET_NAME}__{name}.npy", np.array(values, np.int32))
    metadata = Metadata(
        seq_len=BOARD**2,
        vocab_size=COLOUR + NUM_COLOURS,
        num_puzzle_identifiers=len(numbers) + 1,
        total_groups=len(groups),
        total_puzzles=len(identifiers),
        mean_puzzle_examples=num_examples / max(len(identifiers), 1),
    )
    write_description(folder, metadata)


def _boards(
    group: _Group, form: Augmentation, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pairs of one form on their boards; in a moved group one random pair stays in the corner."""
    still = int(rng.integers(0, max(len(group.pairs), 1))) if group.is_moved else -1
    for index, pair in enumerate(group.pairs):
        left, right = form.applied(pair.input), form.applied(pair.output)
        down, across = (0, 0)
        if group.is_moved and index != still:
            down, across = (int(rng.integers(0, free + 1)) for free in room(left, right))
        yield board(left, down, across), board(right, down, across)
