"""Newest readings: only what is watched, copied, in order."""

from __future__ import annotations

import numpy as np
import pytest

from sage.errors import InputError
from sage.sensors.latest import LatestReadings


def test_only_watched_sources_are_copied_and_the_newest_stay() -> None:
    latest = LatestReadings()
    latest.watch("a", "policy", 2)
    latest.watch("a", "other")
    values = np.zeros(2)
    for stamp in range(4):
        values[:] = stamp
        latest.put("a", values, stamp)
        latest.put("b", values, stamp)
    assert [(each.captured_ns, each.values[0]) for each in latest.of("a")] == [(2, 2), (3, 3)]
    assert latest.of("b") == ()
    assert latest.watchers == {"a": "policy"}
    with pytest.raises(ValueError, match="read-only"):
        latest.of("a")[0].values[0] = 1


def test_watching_more_keeps_what_is_there() -> None:
    latest = LatestReadings()
    latest.watch("a", "policy")
    latest.put("a", np.ones(1), 1)
    latest.watch("a", "policy", 3)
    assert len(latest.of("a")) == 1
    with pytest.raises(InputError, match="give 1 or more"):
        latest.watch("a", "policy", 0)
