"""A lazy tuple is the tuple of its items, made once, when it is first read."""

from __future__ import annotations

from sage.runtime.digest import canonical
from sage.runtime.lazy import LazyTuple
from sage.runtime.report import to_plain


def test_it_is_made_once_and_only_when_it_is_read() -> None:
    calls = []

    def make() -> tuple[int, ...]:
        calls.append(1)
        return 1, 2, 3

    lazy = LazyTuple(make)
    assert not calls
    assert len(lazy) == 3
    assert list(lazy) == [1, 2, 3]
    assert lazy[-1] == 3
    assert lazy[1:] == (2, 3)
    assert 2 in lazy
    assert calls == [1]


def test_it_is_equal_to_its_tuple_in_every_form() -> None:
    lazy = LazyTuple(lambda: (1.0, "b"))
    assert lazy == (1.0, "b")
    assert lazy == LazyTuple(lambda: (1.0, "b"))
    assert lazy != (1.0,)
    assert hash(lazy) == hash((1.0, "b"))
    assert repr(lazy) == "(1.0, 'b')"
    assert canonical(lazy) == canonical((1.0, "b"))
    assert to_plain(lazy) == [1.0, "b"]
