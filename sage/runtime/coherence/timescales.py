"""Time structure of one signal: its autocorrelation time, and the complexity of its pattern of ups and
downs.
"""

from __future__ import annotations

import math

import numpy as np


def autocorrelation_time(signal: np.ndarray) -> float:
    """-1 / ln(phi) in samples, with phi the lag-one autocorrelation without its small-sample bias (Kendall
    1954: + (1 + 4 phi) / n).

    signal: (n,).  0 where phi is not above 0, infinite where it is not below 1, NaN without variation.
    """
    num = len(signal)
    values = signal.astype(np.float64) - signal.mean(dtype=np.float64)
    power = float(values.dot(values))
    if num < 4 or power <= 0:
        return math.nan
    phi = float(values[1:].dot(values[:-1])) / power
    phi += (1 + 4 * phi) / num
    if phi <= 0:
        return 0.0
    return -1 / math.log(phi) if phi < 1 else math.inf


def lempel_ziv(bits: np.ndarray) -> int:
    """Number of phrases in the exhaustive history of a sequence (Lempel and Ziv 1976; algorithm of Kaspar and
    Schuster 1987). bits: (n,), of any integers or booleans.
    """
    text = np.asarray(bits).astype(np.uint8).tobytes()
    num, start, phrases = len(text), 0, 0
    while start < num:
        length, place = 1, 0
        # The longest phrase that occurs before its own last symbol. A longer one never occurs earlier.
        while start + length <= num:
            place = text.find(text[start : start + length], place, start + length - 1)
            if place < 0:
                break
            length += 1
            while start + length <= num and text[place + length - 1] == text[start + length - 1]:
                length += 1
        phrases += 1
        start += length
    return phrases


def complexity(signal: np.ndarray) -> float:
    """Lempel-Ziv phrases of the signal above and below its median, x log2(n) / n: near 1 for noise, near 0
    for a regular one. signal: (n,).
    """
    num = len(signal)
    if num < 4:
        return math.nan
    middle = np.partition(signal, ((num - 1) // 2, num // 2))
    median = (middle[(num - 1) // 2] + middle[num // 2]) / 2
    return lempel_ziv(signal > median) * math.log2(num) / num
