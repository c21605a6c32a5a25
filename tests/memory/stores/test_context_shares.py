"""Who may take whose slot when a store is full."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sage.memory.stores.context_shares import ContextShares


def filled(contexts: list[int]) -> ContextShares:
    shares = ContextShares(len(contexts))
    for slot, context in enumerate(contexts):
        shares.move(slot, context)
    return shares


def test_a_context_below_its_share_takes_from_the_one_that_holds_most() -> None:
    is_rival, must_yield = filled([0, 0, 0, 1]).rivals(1)
    assert is_rival.tolist() == [True, True, True, False]
    assert must_yield


def test_a_context_at_its_share_contends_with_its_own() -> None:
    is_rival, must_yield = filled([0, 0, 1, 1]).rivals(1)
    assert is_rival.tolist() == [False, False, True, True]
    assert not must_yield


def test_a_newcomer_among_more_contexts_than_slots_contends_with_all() -> None:
    is_rival, must_yield = filled([0, 1, 2]).rivals(3)
    assert is_rival.all()
    assert not must_yield


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 29), st.integers(0, 5))),
)
def test_loaded_shares_continue_identically(contexts: list[int], moves: list[tuple[int, int]]) -> None:
    lived = filled(contexts)
    for slot, context in moves:
        lived.move(slot % len(contexts), context)
    loaded = ContextShares(len(contexts))
    loaded.load(lived.contexts)
    for context in range(7):
        ours, theirs = lived.rivals(context), loaded.rivals(context)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1] == theirs[1]
