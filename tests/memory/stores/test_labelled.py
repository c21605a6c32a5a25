"""The store of labelled experiences: what it copies, how contexts share it, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sage.errors import InputError
from sage.memory.stores.labelled import Labelled, LabelledStore


def some(num: int, context: int, width: int = 3) -> Labelled:
    return Labelled(
        inputs=torch.arange(num * width, dtype=torch.float32).view(num, width) + 100 * context,
        labels=torch.arange(num),
        outputs=torch.full((num, 2), float(context)),
        contexts=torch.full((num,), context),
        is_real=torch.ones(num, dtype=torch.bool),
    )


def test_a_store_with_space_copies_everything():
    store = LabelledStore(8, (3,), 2, seed=0)
    given = some(5, 1)
    assert store.consider(given, np.ones(5)) == 5
    given.inputs.zero_()
    found = store.all()
    assert len(store) == len(found) == 5
    assert torch.equal(found.inputs, some(5, 1).inputs)
    assert torch.equal(found.labels, torch.arange(5))


def test_contexts_share_a_full_store():
    store = LabelledStore(20, (3,), 2, seed=0)
    for context in range(4):
        store.consider(some(100, context), np.ones(100))
    assert np.bincount(store.contexts).tolist() == [5, 5, 5, 5]
    found = store.all()
    assert torch.equal(found.contexts, torch.from_numpy(store.contexts))
    assert torch.equal(found.outputs[:, 0], found.contexts.float())


def test_an_experience_with_more_weight_stays_more_often():
    store = LabelledStore(50, (3,), 2, seed=0)
    weights = np.where(np.arange(500) < 250, 1.0, 0.05)
    store.consider(some(500, 0), weights)
    assert (store.all().labels < 250).float().mean() > 0.8


def test_outputs_are_refreshed():
    store = LabelledStore(8, (3,), 2, seed=0)
    store.consider(some(5, 1), np.ones(5))
    store.refresh(torch.full((5, 2), 7.0))
    assert torch.equal(store.all().outputs, torch.full((5, 2), 7.0))


def test_another_shape_is_refused():
    store = LabelledStore(8, (4,), 2, seed=0)
    with pytest.raises(InputError, match=r"inputs has shape \(5, 3\): give \(N, \*\(4,\)\)"):
        store.consider(some(5, 1), np.ones(5))
