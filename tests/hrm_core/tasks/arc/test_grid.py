"""ARC grids: augmentations and their inverse, boards and the grids on them."""

from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.arc.grid import board, grid_of, random_augmentation


def test_every_augmentation_can_be_undone() -> None:
    rng = np.random.default_rng(0)
    for _ in range(64):
        grid, augmentation = (
            rng.integers(0, 10, size=rng.integers(1, 31, size=2)).astype(np.int32),
            random_augmentation(rng),
        )
        np.testing.assert_array_equal(augmentation.undone(augmentation.applied(grid)), grid)


def test_a_grid_is_found_anywhere_on_the_board() -> None:
    rng = np.random.default_rng(1)
    for _ in range(64):
        rows, cols = (int(each) for each in rng.integers(1, 31, size=2))
        grid = rng.integers(0, 10, size=(rows, cols))
        np.testing.assert_array_equal(
            grid_of(board(grid, int(rng.integers(0, 31 - rows)), int(rng.integers(0, 31 - cols)))), grid
        )
