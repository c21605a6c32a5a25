import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.tasks.arc.generators import FAMILIES, LEAST_SIDE, generated
from sage.hrm_core.tasks.arc.source import ArcPuzzle


def pairs_of(family: str, side: int, num: int) -> list[tuple[np.ndarray, np.ndarray]]:
    puzzles = [generated(family, np.random.default_rng(seed), side=side) for seed in range(num)]
    return [
        (pair.input, pair.output) for puzzle in puzzles for pair in (*puzzle.demonstrations, *puzzle.tests)
    ]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("side", [LEAST_SIDE, 10, 12])
def test_a_pair_changes_a_grid_of_colours_and_keeps_its_size(family: str, side: int) -> None:
    for left, right in pairs_of(family, side, 20):
        assert left.shape == right.shape
        assert max(left.shape) <= side
        assert not np.array_equal(left, right)
        assert min(left.min(), right.min()) >= 0
        assert max(left.max(), right.max()) <= 9


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_generators_give_equal_puzzles_and_others_differ(family: str) -> None:
    def plain(puzzle: ArcPuzzle) -> list[list[list[int]]]:
        return [pair.input.tolist() for pair in (*puzzle.demonstrations, *puzzle.tests)]

    first, again, other = (generated(family, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert plain(first) == plain(again) != plain(other)
    assert len(first.demonstrations) == 3


def test_gravity_keeps_the_cells_of_each_line() -> None:
    for left, right in pairs_of("gravity", 10, 20):
        by_row = np.array_equal(np.sort(left, axis=1), np.sort(right, axis=1))
        by_col = np.array_equal(np.sort(left, axis=0), np.sort(right, axis=0))
        assert by_row or by_col


def test_a_bar_has_as_many_cells_as_there_are_dots() -> None:
    for left, right in pairs_of("count_bar", 10, 20):
        assert (right[-1] != 0).sum() == (left != 0).sum()


def test_joined_filled_and_outlined_grids_keep_every_coloured_cell() -> None:
    for family in ("join", "fill", "outline", "rays", "mirror", "extend"):
        for left, right in pairs_of(family, 10, 20):
            assert (right[left != 0] == left[left != 0]).all()


def test_a_filled_cell_has_no_way_over_background_to_the_edge() -> None:
    for left, right in pairs_of("fill", 10, 20):
        for row, col in zip(*np.nonzero(left != right)):
            assert all(
                part.any() for part in (left[row, :col], left[row, col:], left[:row, col], left[row:, col])
            )


def test_a_moved_shape_keeps_its_cells_and_touches_the_wall() -> None:
    for left, right in pairs_of("move", 10, 20):
        assert np.array_equal(np.bincount(left.reshape(-1)), np.bincount(right.reshape(-1)))
        counts = np.bincount(left.reshape(-1), minlength=10)
        colours = [each for each in range(1, 10) if counts[each]]
        masks = [np.pad(right == each, 1) for each in colours]
        assert len(masks) == 2
        near = [np.roll(masks[0], step, axis) for step in (-1, 1) for axis in (0, 1)]
        assert any((each & masks[1]).any() for each in near)


def test_unknown_families_and_sides_are_refused() -> None:
    with pytest.raises(InputError, match="family 'spin': unknown"):
        generated("spin", np.random.default_rng(0))
    with pytest.raises(InputError, match="side is 4: give 7 to 30"):
        generated("fill", np.random.default_rng(0), side=4)
