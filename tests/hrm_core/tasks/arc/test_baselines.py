from collections.abc import Callable

import numpy as np
import pytest

from sage.hrm_core.tasks.arc.baselines import FAMILIES, attempts, attempts_together, explaining
from sage.hrm_core.tasks.arc.source import ArcPuzzle, Pair

Rule = Callable[[np.ndarray], np.ndarray]


def puzzle_of(rule: Rule, *grids: list[list[int]]) -> ArcPuzzle:
    """The last grid is the test."""
    pairs = [Pair(input=np.array(grid, np.int32), output=rule(np.array(grid, np.int32))) for grid in grids]
    return ArcPuzzle(name="own", demonstrations=tuple(pairs[:-1]), tests=tuple(pairs[-1:]))


def complete_mirror(grid: np.ndarray) -> np.ndarray:
    return np.where(grid == 8, grid[:, ::-1], grid)


CASES: list[tuple[str, Rule, tuple[list[list[int]], ...]]] = [
    ("identity", lambda grid: grid, ([[1, 2]], [[3, 0]], [[4, 4]])),
    ("colour map", lambda grid: (grid + 3) % 10, ([[1, 2, 3]], [[4, 5, 0]], [[5, 4, 1]])),
    (
        "crop",
        lambda grid: grid[1:3, 1:3],
        (
            [[0, 0, 0, 0], [0, 2, 3, 0], [0, 4, 2, 0], [0, 0, 0, 0]],
            [[0, 0, 0, 0], [0, 5, 6, 0], [0, 0, 5, 0], [0, 0, 0, 0]],
            [[0, 0, 0, 0], [0, 7, 7, 0], [0, 1, 1, 0], [0, 0, 0, 0]],
        ),
    ),
    ("crop", lambda grid: grid[:, 3:], ([[1, 2, 5, 3, 4]], [[3, 0, 5, 0, 3]], [[9, 9, 5, 0, 9]])),
    ("tile", lambda grid: np.tile(grid, (2, 3)), ([[1, 2], [0, 3]], [[4, 0], [2, 2]], [[6, 7], [8, 0]])),
    (
        "tile",
        lambda grid: np.kron(grid, np.ones((2, 2), np.int32)),
        ([[1, 2], [0, 3]], [[4, 0], [2, 2]], [[6, 7], [8, 0]]),
    ),
    (
        "tile",
        lambda grid: np.block([[grid, grid[:, ::-1]], [grid[::-1], grid[::-1, ::-1]]]),
        ([[1, 2], [0, 3]], [[4, 0], [2, 5]], [[6, 7], [8, 0]]),
    ),
    ("tile", lambda grid: np.kron((grid != 0).astype(np.int32), grid), ([[1, 0], [2, 0]], [[0, 3], [4, 0]],
                                                                        [[5, 6], [0, 0]])),
    ("symmetry", lambda grid: np.rot90(grid), ([[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]])),
    (
        "symmetry",
        complete_mirror,
        ([[1, 2, 2, 8], [3, 8, 4, 3]], [[5, 6, 8, 5], [8, 0, 0, 7]], [[1, 8, 3, 1], [2, 2, 2, 8]]),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("family", "rule", "grids"), CASES)
def test_a_family_answers_a_puzzle_of_its_own(
    family: str, rule: Rule, grids: tuple[list[list[int]], ...]
) -> None:
    puzzle = puzzle_of(rule, *grids)
    for found in (attempts(puzzle, family), attempts_together(puzzle)):
        answers = found[puzzle.name, 0]
        assert len(answers) <= 2
        assert any(np.array_equal(answer, puzzle.tests[0].output) for answer in answers)


def test_a_rule_that_misses_one_demonstration_is_not_used() -> None:
    puzzle = puzzle_of(lambda grid: np.rot90(grid), [[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]])
    odd = Pair(input=np.array([[1, 2]], np.int32), output=np.array([[5, 5, 5]], np.int32))
    puzzle = ArcPuzzle(name="odd", demonstrations=(*puzzle.demonstrations, odd), tests=puzzle.tests)
    assert [explaining(puzzle, family) for family in FAMILIES] == [[]] * len(FAMILIES)
    assert attempts_together(puzzle) == {("odd", 0): []}


def test_the_output_of_a_test_is_not_read() -> None:
    puzzle = puzzle_of(lambda grid: grid[:, ::-1], [[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]])
    other = Pair(input=puzzle.tests[0].input, output=np.zeros((5, 5), np.int32))
    changed = ArcPuzzle(name=puzzle.name, demonstrations=puzzle.demonstrations, tests=(other,))
    for family in FAMILIES:
        ours, theirs = attempts(puzzle, family)["own", 0], attempts(changed, family)["own", 0]
        assert [each.tolist() for each in ours] == [each.tolist() for each in theirs]


def test_an_answer_larger_than_a_board_is_none() -> None:
    puzzle = puzzle_of(lambda grid: np.tile(grid, (1, 4)), [[1, 2]], [[3, 4]], [[5] * 9])
    assert attempts(puzzle, "tile")["own", 0] == []


def test_without_demonstrations_no_rule_is_used() -> None:
    puzzle = puzzle_of(lambda grid: grid, [[1, 2]])
    assert puzzle.demonstrations == ()
    assert attempts_together(puzzle) == {("own", 0): []}
