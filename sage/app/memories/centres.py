"""Centres of the contexts without forgotten memories: a centre of one memory is that memory's key.

Invariant: a context keeps its number; one without a memory has no centre until the next key comes to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from sage.memory.stores.state import StoreState

#: In a snapshot's learned state: sage.memory.contexts.
_CENTRES, _COUNTS = "contexts.centres", "contexts.counts"


def recentred(
    learned: Mapping[str, np.ndarray], recall: StoreState | None, contexts: Iterable[int]
) -> dict[str, np.ndarray]:
    """A snapshot's learned state, with the centres of `contexts` as the means of the keys in `recall`."""
    result = dict(learned)
    if _CENTRES not in learned:
        return result
    centres, counts = learned[_CENTRES].copy(), learned[_COUNTS].copy()
    for context in contexts:
        if not 0 <= context < len(centres):
            continue
        centres[context], counts[context] = 0, 0
        if recall is None:
            continue
        keys = recall.arrays["keys"][recall.arrays["contexts"] == context].astype(float)
        if keys.shape[1:] == centres.shape[1:] and len(keys):
            mean = keys.mean(axis=0)
            centres[context] = mean / max(float(np.linalg.norm(mean)), 1e-12)
            counts[context] = len(keys)
    return {**result, _CENTRES: centres, _COUNTS: counts}
