"""A session of these tests removes nothing that the tests of another worker left in /dev/shm."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from sage.app.session import leftovers


@pytest.fixture(autouse=True)
def _without_the_leftovers_of_other_workers() -> Iterator[None]:
    """Else its warning could be in the output that a test reads. test_soak_bench.py tests the removal.

    Not by the fixture `monkeypatch`, whose changes would then outlast the fixtures of a test. The module of
    sessions, which needs torch, is not loaded for this.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in (leftovers, sys.modules.get("sage.app.session.run")):
            if module is not None:
                patch.setattr(module, "remove_leftovers", lambda: 0)
        yield
