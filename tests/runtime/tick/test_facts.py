"""Small helpers of a tick's facts."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.tick.facts import total, without_nan


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_nan_counts_as_zero_and_the_type_stays(kind: str) -> None:
    values = np.array([0.25, np.nan, 2.0, -1.0], dtype=kind)
    assert without_nan(values).tolist() == [0.25, 0.0, 2.0, -1.0]
    assert without_nan(values).dtype == values.dtype
    assert total(values) == 1.25
    assert total(values[1:2]) == 0.0
    assert total(values[:0]) == 0.0
