"""Sources that are wrong in one recurring context: the worlds, one replay, ratios and bars."""

from __future__ import annotations

import numpy as np
import pytest
from _fusion_contexts import (
    HELD_OUT,
    NUM_PLACES,
    NUM_READINGS,
    SCENARIOS,
    TURN,
    VIEWS,
    Outcome,
    contexts_bars,
    contexts_table,
    make_world,
    pooled_ratio,
    ratio,
    run_world,
)


@pytest.mark.parametrize("scenario", [*SCENARIOS, *HELD_OUT])
def test_only_what_is_marked_wrong_is_spoiled(scenario: str) -> None:
    world = make_world(scenario, 3)
    for name in VIEWS:
        error = np.abs(world.recording[name][1] - world.clean[name]).max(axis=1)
        wrong = world.is_wrong[name]
        assert error[~wrong].max() < 1.0, name
        assert not wrong.any() or error[wrong].mean() > 1.0 or scenario.startswith("noise x4"), name
    wrong = world.is_wrong["camera"]
    assert wrong.any() == (scenario != "nothing wrong")
    if "always" not in scenario:
        assert set(world.places[wrong].tolist()) <= {world.places.max()}


def test_records_are_used_from_the_second_dark_time_on() -> None:
    without, ours = (run_world("noise in the dark", 0, kind="given", arm=arm) for arm in ("without", "with"))
    assert without.distrust > 5
    assert ours.distrust <= 3
    assert ours.again <= 3
    assert ours.num_contexts == 4


def outcome(error: float, distrust: float = 2.0) -> Outcome:
    return Outcome(
        error=error, early=error, distrust=distrust, again=1.0, low=0.0, believed=0.0, num_contexts=2
    )


def test_ratios_have_intervals_and_a_worse_error_misses_its_bar() -> None:
    found = {
        (scenario, kind, arm): [outcome(value * (1.2 if arm == "with" else 1.0)) for value in (0.1, 0.2, 0.4)]
        for scenario in (*SCENARIOS, *HELD_OUT)
        for kind in ("given", "found")
        for arm in ("without", "with")
    }
    assert pooled_ratio(found, "found", "error") == pytest.approx((1.2, 1.2, 1.2))
    assert ratio(found, "nothing wrong", "given", "error") == pytest.approx((1.2, 1.2, 1.2))
    bars = {bar.name: bar.is_met for bar in contexts_bars(found, is_quick=False)}
    assert bars["noise in the dark: readings to distrust"] is True
    assert bars["nothing wrong, contexts found: error, with / without"] is False
    assert {bar.is_met for bar in contexts_bars(found, is_quick=True)} == {None}
    assert len(contexts_table(found).rows) == 2 * len((*SCENARIOS, *HELD_OUT)) + 2
    assert NUM_READINGS % (NUM_PLACES * TURN) == 0
