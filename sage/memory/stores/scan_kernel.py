"""The k largest products of one query with many keys, compiled: keys are read once, nothing is written back.

Invariant: the same as a product and a partition in numpy, to rounding.
"""

from __future__ import annotations

import numpy as np

from sage.compiled import fast_kernel


@fast_kernel
def scan(keys: np.ndarray, query: np.ndarray, slots: np.ndarray, products: np.ndarray) -> int:
    """Fill slots (k,) int64 and products (k,) float32 with the best rows of keys (n, d), best first.

    Returns how many were filled: k, or n when it is less.
    """
    num = 0
    for row in range(keys.shape[0]):
        product = np.float32(0.0)
        for column in range(keys.shape[1]):
            product += keys[row, column] * query[column]
        if num == len(slots) and product <= products[num - 1]:
            continue
        at = num if num < len(slots) else num - 1
        while at > 0 and products[at - 1] < product:
            products[at] = products[at - 1]
            slots[at] = slots[at - 1]
            at -= 1
        products[at] = product
        slots[at] = row
        num = min(num + 1, len(slots))
    return num
