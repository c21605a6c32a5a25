"""A store on a fixed wall clock, and the recording of a session into one."""

from __future__ import annotations

import pytest

from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import MetricsStore

WALL_NS = 1_795_305_600_000_000_000


@pytest.fixture
def store(tmp_path):
    with MetricsStore(tmp_path / "metrics.sqlite", wall_ns=lambda: WALL_NS, flush_secs=0.01) as store:
        yield store


@pytest.fixture
def record():
    def play(store: MetricsStore, feed: SyntheticSession, **facts) -> str:
        session = store.begin_session(**facts)
        writer = store.instrument(session)
        feed.play(writer)
        assert writer.flush()
        return session

    return play
