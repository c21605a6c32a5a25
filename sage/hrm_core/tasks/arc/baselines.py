"""Untrained baselines for ARC: identity, colour map, crop, tile, symmetry.

Each family has a list of rules, grid -> grid. A rule is used only if it maps the input of every demonstration
to its output; the answers of the first two such rules are the family's attempts.

Invariant: rules read demonstrations and the input of a test, never the output of a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from sage.hrm_core.tasks.arc.grid import BOARD, NUM_COLOURS, NUM_TURNS, turned
from sage.hrm_core.tasks.arc.objects import bounding_box, commonest_colour, components
from sage.hrm_core.tasks.arc.source import ArcPuzzle, Pair
from sage.hrm_core.tasks.arc.voting import NUM_ATTEMPTS

#: None where the rule does not apply to a grid.
Rule = Callable[[np.ndarray], np.ndarray | None]


def attempts(puzzle: ArcPuzzle, family: str) -> dict[tuple[str, int], list[np.ndarray]]:
    """(puzzle, test) -> up to two different grids, by the rules of one family. KeyError for an unknown
    name.
    """
    rules = explaining(puzzle, family)
    return {(puzzle.name, test): _first_answers(rules, pair.input) for test, pair in enumerate(puzzle.tests)}


def attempts_together(puzzle: ArcPuzzle) -> dict[tuple[str, int], list[np.ndarray]]:
    """(puzzle, test) -> up to two different grids in all, by the rules of all families in their order."""
    rules = [rule for family in FAMILIES for rule in explaining(puzzle, family)]
    return {(puzzle.name, test): _first_answers(rules, pair.input) for test, pair in enumerate(puzzle.tests)}


def explaining(puzzle: ArcPuzzle, family: str) -> list[Rule]:
    """The family's rules that map every demonstration's input to its output, in the family's order; none
    without demonstrations.
    """
    demonstrations = puzzle.demonstrations
    if not demonstrations:
        return []
    return [
        rule
        for rule in FAMILIES[family](demonstrations)
        if all(_is_equal(rule(pair.input), pair.output) for pair in demonstrations)
    ]


def _first_answers(rules: Iterable[Rule], grid: np.ndarray) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for rule in rules:
        answer = rule(grid)
        if answer is None or not answer.size or any(_is_equal(answer, each) for each in found):
            continue
        found.append(answer.astype(np.int32))
        if len(found) == NUM_ATTEMPTS:
            break
    return found


def _is_equal(left: np.ndarray | None, right: np.ndarray) -> bool:
    return left is not None and np.array_equal(left, right)


def _identity(demonstrations: Sequence[Pair]) -> Iterator[Rule]:
    yield lambda grid: grid


def _colour_map(demonstrations: Sequence[Pair]) -> Iterator[Rule]:
    """The one map of colours that the demonstrations define; a colour that they lack maps to itself."""
    table = np.full(NUM_COLOURS, -1)
    for pair in demonstrations:
        if pair.input.shape != pair.output.shape:
            return
        table[pair.input.reshape(-1)] = pair.output.reshape(-1)
    table = np.where(table < 0, np.arange(NUM_COLOURS), table).astype(np.int32)
    yield lambda grid: table[grid]


def _crop(demonstrations: Sequence[Pair]) -> Iterator[Rule]:
    """Bounding boxes (all but the background, each colour, the rarest colour), objects, and parts of the
    grid by position.
    """
    yield lambda grid: _boxed(grid, grid != 0)
    yield lambda grid: _boxed(grid, grid != commonest_colour(grid))
    for has_diagonals in (True, False):
        for is_by_colour in (False, True):
            for order in (-1, 0):  # the largest, the smallest
                yield _of_object(order, has_diagonals=has_diagonals, is_by_colour=is_by_colour)
    for colour in range(NUM_COLOURS):
        yield lambda grid, colour=colour: _boxed(grid, grid == colour)  # type: ignore[misc]
    yield lambda grid: _boxed(grid, grid == _rarest_colour(grid))
    for rows, cols in ((1, 2), (2, 1), (2, 2), (1, 3), (3, 1), (3, 3)):
        for row in range(rows):
            for col in range(cols):
                yield _part(rows, cols, row, col)


def _boxed(grid: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    box = bounding_box(mask)
    return None if box is None else grid[box]


def _rarest_colour(grid: np.ndarray) -> int:
    counts = np.bincount(grid.reshape(-1), minlength=NUM_COLOURS)
    return int(np.where(counts == 0, grid.size + 1, counts).argmin())


def _of_object(order: int, *, has_diagonals: bool, is_by_colour: bool) -> Rule:
    """The box of the object that is first (0) or last (-1) by its number of cells.

    is_by_colour: an object has one colour; else it is any connected cells other than the background.
    """

    def rule(grid: np.ndarray) -> np.ndarray | None:
        background = commonest_colour(grid)
        colours = [each for each in np.unique(grid) if each != background]
        masks = [grid == each for each in colours] if is_by_colour else [grid != background]
        objects = []
        for mask in masks:
            labels, num = components(mask, has_diagonals=has_diagonals)
            objects += [labels == number for number in range(1, num + 1)]
        if not objects:
            return None
        return _boxed(grid, sorted(objects, key=lambda mask: int(mask.sum()))[order])

    return rule


def _part(rows: int, cols: int, row: int, col: int) -> Rule:
    """One of rows x cols equal parts, with or without lines of one cell between them."""

    def rule(grid: np.ndarray) -> np.ndarray | None:
        for gap in (0, 1):
            height, rest_rows = divmod(grid.shape[0] - gap * (rows - 1), rows)
            width, rest_cols = divmod(grid.shape[1] - gap * (cols - 1), cols)
            if height > 0 and width > 0 and not rest_rows and not rest_cols:
                top, left = row * (height + gap), col * (width + gap)
                return grid[top : top + height, left : left + width]
        return None

    return rule


def _tile(demonstrations: Sequence[Pair]) -> Iterator[Rule]:
    """Repeat, mirror, enlarge or reduce by the ratio of sizes that all demonstrations have."""
    first = demonstrations[0]
    (rows, cols), (out_rows, out_cols) = first.input.shape, first.output.shape
    yield _as_tiles_of_itself
    if not (out_rows % rows or out_cols % cols) and (out_rows, out_cols) != (rows, cols):
        down, right = out_rows // rows, out_cols // cols
        yield lambda grid: _if_fits(grid, down, right, lambda grid: np.tile(grid, (down, right)))
        yield lambda grid: _if_fits(
            grid, down, right, lambda grid: np.kron(grid, np.ones((down, right), np.int32))
        )
        for turns_rows in (True, False):
            for turns_cols in (True, False):
                for is_first in (True, False):
                    yield _mirror_tiles(
                        down, right, turns_rows=turns_rows, turns_cols=turns_cols, is_first=is_first
                    )
    if not (rows % out_rows or cols % out_cols) and (out_rows, out_cols) != (rows, cols):
        up, left = rows // out_rows, cols // out_cols
        yield lambda grid: grid[::up, ::left]
        yield lambda grid: grid[up - 1 :: up, left - 1 :: left]


def _if_fits(
    grid: np.ndarray, down: int, right: int, make: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray | None:
    """None where the answer would be larger than a board."""
    return make(grid) if grid.shape[0] * down <= BOARD and grid.shape[1] * right <= BOARD else None


def _as_tiles_of_itself(grid: np.ndarray) -> np.ndarray | None:
    """A copy of the grid in place of each coloured cell."""
    rows, cols = grid.shape
    return _if_fits(grid, rows, cols, lambda grid: np.kron((grid != 0).astype(np.int32), grid))


def _mirror_tiles(down: int, right: int, *, turns_rows: bool, turns_cols: bool, is_first: bool) -> Rule:
    """Every second row and column of tiles is mirrored: the even ones where is_first, else the odd ones."""
    start = 0 if is_first else 1

    def tiled(grid: np.ndarray) -> np.ndarray:
        lines = []
        for row in range(down):
            line = []
            for col in range(right):
                tile = grid[::-1] if turns_rows and row % 2 == start else grid
                line.append(tile[:, ::-1] if turns_cols and col % 2 == start else tile)
            lines.append(line)
        return np.block(lines)

    return lambda grid: _if_fits(grid, down, right, tiled)


def _symmetry(demonstrations: Sequence[Pair]) -> Iterator[Rule]:
    """Turns and mirrors; the picture and its images over one another; a picture completed by its symmetry,
    whole or only the part that was hidden.
    """
    for turn in range(1, NUM_TURNS):
        yield lambda grid, turn=turn: turned(grid, turn)  # type: ignore[misc]
    for turns in _GROUPS:
        for hidden in range(NUM_COLOURS):
            yield lambda grid, turns=turns, hidden=hidden: _completed(  # type: ignore[misc]
                grid, turns, hidden
            )
            yield lambda grid, turns=turns, hidden=hidden: _hidden_part(  # type: ignore[misc]
                grid, turns, hidden
            )


#: Transforms under which a picture can be symmetric (numbers of `turned`), smaller groups first.
_GROUPS = ((4,), (5,), (2,), (6,), (7,), (4, 5, 2), (6, 7, 2), (1, 2, 3), (1, 2, 3, 4, 5, 6, 7))


def _completed(grid: np.ndarray, turns: tuple[int, ...], hidden: int) -> np.ndarray | None:
    """The cells of colour `hidden` take the colour of their image; None where the images differ."""
    images = [turned(grid, turn) for turn in turns]
    if any(image.shape != grid.shape for image in images):
        return None
    found = grid.copy()
    for image in images:
        found = np.where(found == hidden, image, found)
    is_consistent = all(((found == image) | (image == hidden)).all() for image in images)
    return found if is_consistent else None


def _hidden_part(grid: np.ndarray, turns: tuple[int, ...], hidden: int) -> np.ndarray | None:
    whole, box = _completed(grid, turns, hidden), bounding_box(grid == hidden)
    return None if whole is None or box is None else whole[box]


#: Family -> its rules for some demonstrations, in the order of their attempts.
FAMILIES: dict[str, Callable[[Sequence[Pair]], Iterator[Rule]]] = {
    "identity": _identity,
    "colour map": _colour_map,
    "crop": _crop,
    "tile": _tile,
    "symmetry": _symmetry,
}
