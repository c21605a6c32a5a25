"""A device that a test can hold: the fake one. What needs a real card is in scripts/gpu_proof."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sage.mailbox import FocusMailbox, ManualClock
from sage.mailbox.cuda import CudaBackend, FakeDriver


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver()


@pytest.fixture
def make_box(driver: FakeDriver) -> Callable[..., FocusMailbox]:
    def make(*, placement: Any = "device", stream: int | None = None, **options: Any) -> FocusMailbox:
        backend = CudaBackend(driver=driver, placement=placement, stream=stream)
        return FocusMailbox(
            "device", **{"clock": ManualClock(), "backend": backend, "slots": 1, "slot_bytes": 64, **options}
        )

    return make
