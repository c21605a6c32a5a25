"""The benchmark of the Totality service: what its bars are made of."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the extra web is not installed")

from totality import READS, Timing, bars_of, drafts, num_lost, timed, weight_of

from sage.related_work.totality.messages import WriteRequest
from sage.related_work.totality.persistence import TotalityFolder


def test_timings_without_load_are_what_the_bars_are_about() -> None:
    timings = [Timing(request=name, load="none", num=1, p50=1.0, p99=2.0) for name in READS]
    timings += [Timing(request=name, load="8 writers", num=1, p50=1.0, p99=50.0) for name in READS]
    bars = bars_of(timings, lost=1)
    assert [bar.is_met for bar in bars] == [True] * len(READS) + [False]
    assert [bar.value for bar in bars_of([], lost=0)] == [None] * len(READS) + [0.0]
    assert bars_of(timings, lost=None)[-1].is_met is None


def test_every_call_is_timed_once_after_one_that_is_not() -> None:
    calls: list[int] = []
    found = timed("read", "none", 3, calls.append)
    assert calls == [-1, 0, 1, 2]
    assert found.num == 3
    assert 0.0 <= found.p50 <= found.p99 < math.inf


def test_drafts_are_equal_for_equal_seeds() -> None:
    assert drafts("a", 3, seed=1) == drafts("a", 3, seed=1)
    assert len({draft.id for draft in drafts("a", 50)}) == 50


def test_a_write_is_lost_if_its_content_is_neither_there_nor_followed(tmp_path: Path) -> None:
    (first,), (second,) = drafts("w0", 1, seed=1), drafts("w0", 1, seed=2)
    with TotalityFolder(tmp_path, time.time_ns) as opened:
        opened.store.write(WriteRequest(schemes=(second,)))
    old, new = {"w0-0": weight_of(first)}, {"w0-0": weight_of(second)}
    assert num_lost(tmp_path, new, new) == 0
    assert num_lost(tmp_path, old, new) == 0, "the write in flight was done"
    assert num_lost(tmp_path, old, old) == 1, "the content of another write"
    assert num_lost(tmp_path, {"w1-0": 0.0}, {"w1-0": 0.0}) == 1
