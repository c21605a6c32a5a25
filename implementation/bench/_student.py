"""Student's t over seeds: the quantile of a 95% interval, and the interval of a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

#: The 0.975 quantile for 1, 2, ... degrees of freedom.
_TABLE = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
_NORMAL = 1.959964


def t_975(freedom: int) -> float:
    """The 0.975 quantile. Beyond the table by the expansion in 1 / freedom (Abramowitz & Stegun 26.7.5)."""
    if freedom <= len(_TABLE):
        return _TABLE[freedom - 1]
    z = _NORMAL
    first = (z**3 + z) / (4 * freedom)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    return z + first + second + third


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95% interval over seeds; the interval is NaN for fewer than two."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.nan, math.nan
    error = t_975(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean, mean - error, mean + error
