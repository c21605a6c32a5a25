"""Noise without a state: normal, independent, and the same wherever a row stands."""

from __future__ import annotations

import numpy as np
import torch

from sage.hrm_core.solving.noise import derived_seed, gaussian, puzzle_seed


def seeds(num: int) -> torch.Tensor:
    return torch.tensor([derived_seed(7, attempt, 0) for attempt in range(num)])


def test_it_is_normal() -> None:
    drawn = gaussian(seeds(64), 4096).double()
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 1) < 0.01
    assert abs((drawn**4).mean() - 3) < 0.1
    assert 4 < drawn.abs().max() < 6.5
    # Kolmogorov and Smirnov: 1.63 / sqrt(n) is the 1% bar.
    ordered = torch.special.ndtr(drawn.flatten()).sort().values
    assert (ordered - torch.linspace(0, 1, len(ordered), dtype=torch.float64)).abs().max() < 1.63 / len(
        ordered
    ) ** 0.5


def test_neighbours_in_place_and_in_seed_are_independent() -> None:
    drawn = gaussian(seeds(64), 4096).double()
    assert abs((drawn[:, 1:] * drawn[:, :-1]).mean()) < 0.01
    assert abs((drawn[1:] * drawn[:-1]).mean()) < 0.01
    assert abs((drawn[:, :2048] * drawn[:, 2048:]).mean()) < 0.01  # both halves of Box and Muller


def test_a_row_is_the_same_in_every_batch_and_at_every_length() -> None:
    rows = seeds(5)
    together = gaussian(rows, 33)
    assert together.dtype == torch.float32
    for index in range(5):
        torch.testing.assert_close(
            gaussian(rows[index : index + 1], 33)[0], together[index], rtol=0, atol=1e-6
        )


def test_bits_are_splitmix64s() -> None:
    """The first number of seed 0 is 0xE220A8397B1DCDAF in the reference; its top 24 bits give the radius of
    the first pair.
    """
    first = 0xE220A8397B1DCDAF
    radius = np.sqrt(-2 * np.log(((first >> 40) + 1) / 2**24))
    angle = (first & (2**24 - 1)) / 2**24 * 2 * np.pi
    drawn = gaussian(torch.tensor([0]), 2)[0].numpy()
    np.testing.assert_allclose(drawn, [radius * np.cos(angle), radius * np.sin(angle)], rtol=1e-4)


def test_a_puzzles_seed_hangs_on_its_cells_its_id_and_the_callers_seed() -> None:
    cells = np.arange(16)
    drawn = {
        puzzle_seed(cells, -1, 0),
        puzzle_seed(cells, 3, 0),
        puzzle_seed(cells, -1, 1),
        puzzle_seed(cells + 1, -1, 0),
    }
    assert len(drawn) == 4
    assert puzzle_seed(cells.astype(np.int64), -1, 0) == puzzle_seed(cells.astype(np.int32), -1, 0)
