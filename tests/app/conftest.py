"""A session of these tests removes nothing that the tests of another worker left in /dev/shm."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _without_the_leftovers_of_other_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its warning could be in the output that a test reads. test_soak_bench.py tests the removal."""
    monkeypatch.setattr("sage.app.session.run.remove_leftovers", lambda: 0)
