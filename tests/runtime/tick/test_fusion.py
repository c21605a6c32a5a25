"""Fusing: only attended, finite readings are met; the audit changes the audited source alone."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def given(start, settings):
    """A loop after 100 ticks, and what fusing gave in the last."""
    loop = start(settings(num_sources=3, practice={"enabled": False})).loop
    fuse, found = loop.fusion.fuse, []

    def kept(*arguments, **named):
        found.append(fuse(*arguments, **named))
        return found[-1]

    loop.fusion.fuse = kept
    loop.run(num_ticks=100)
    return loop, found


def test_the_scale_is_frozen_at_powers_of_two_from_sixteen(given):
    _, found = given
    assert [tick for tick, fused in enumerate(found, start=1) if fused.is_new_scale] == [16, 32, 64]


def test_an_audit_does_not_change_the_other_estimates(given):
    loop, found = given
    layout, fused = loop.layout, found[-1]
    own = layout.source_of_channel == 1
    estimate = loop.fusion.audit(fused, 1, np.full(layout.num_channels, 100.0))
    assert np.array_equal(estimate[~own], fused.estimate[~own])


def test_a_reading_that_is_not_finite_is_counted_and_not_met(start, settings):
    sensors = [
        {
            "kind": "synthetic",
            "name": "sick",
            "shape": [2],
            "faults": [{"at_secs": 1, "for_secs": 1, "fault": "nan"}],
        },
        {"kind": "synthetic", "name": "well", "shape": [2], "seed": 1},
    ]
    loop = start(settings(sensors=sensors)).loop
    reports = []
    for _ in range(60):
        reports.append(loop.tick())
        loop.clock.advance(50_000_000)
    assert np.isfinite(loop.fusion.predictor.prediction).all()
    assert all(np.isfinite(report.facts.sources[1].weight) for report in reports)
    assert loop.reasoner.num_resets == 0
