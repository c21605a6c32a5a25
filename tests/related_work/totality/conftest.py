"""A store on a simulated clock with four schemes."""

from __future__ import annotations

import pytest

from sage.mailbox.clock import ManualClock
from sage.related_work.totality.content import Slot
from sage.related_work.totality.messages import SchemeDraft, WriteRequest
from sage.related_work.totality.store import TotalityStore

START_NS = 1_700_000_000_000_000_000


def draft(name: str, label: str, activation: float = 0.5, **values: object) -> SchemeDraft:
    slots = tuple(Slot(name=key, value=value) for key, value in values.items())
    return SchemeDraft(id=name, label=label, slots=slots, activation=activation)


DRAFTS = (
    draft("cup", "cup", 0.9, color="red", weight=2.0, is_full=True),
    draft("mug", "mug", 0.7, color="blue", weight=3.0, is_full=False),
    draft("ball", "ball", 0.5, color="red", radius=4),
    draft("table", "table", 0.3, color="brown", legs=4),
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_NS)


@pytest.fixture
def store(clock: ManualClock) -> TotalityStore:
    store = TotalityStore(clock.now_ns)
    store.write(WriteRequest(schemes=DRAFTS))
    return store
