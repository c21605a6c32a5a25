"""A small data set folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage.hrm_core.datasets.layout import write_identifiers, write_ungrouped

PUZZLE = [1, 5, 1, 1, 2, 1, 5, 3, 1, 3, 4, 1, 1, 1, 1, 1]
ANSWER = [3, 5, 2, 4, 2, 4, 5, 3, 5, 3, 4, 2, 4, 2, 3, 5]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4x4 sudokus: 6 forms of 3 groups to train on, 2 groups of one form to test on."""
    folder = tmp_path_factory.mktemp("below") / "sets" / "small"
    for side, num, forms in (("train", 6, 2), ("test", 2, 1)):
        inputs, labels = (np.tile(np.array(cells), (num, 1)) for cells in (PUZZLE, ANSWER))
        write_ungrouped(folder / side, inputs, labels, vocab_size=6, forms=forms)
    write_identifiers(folder, [])
    return folder
