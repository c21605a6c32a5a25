"""The benchmark of scheduling: its promises on a few cases, and its bars from made figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from _schedule_energy import Arm, measure
from _schedule_limits import Deadlines, Waiting, choice_us, deadlines, waiting, worst_lag
from _schedule_policies import error_of
from _schedule_recordings import errors_of
from schedule import bars_of


def test_the_promises_hold_on_a_few_cases() -> None:
    met = deadlines(5, 150)
    assert met.num_missed == 0
    assert met.utilisation > 0.85
    for policy in ("whittle", "top_k", "deficit"):
        waits = waiting(policy, 4, 60)
        assert 0 < waits.longest <= 1
        assert waits.num_missed == 0
    assert 0.5 < worst_lag(5, 40) <= 1 + 1e-9
    assert choice_us("top_k", 10) > 0


def test_half_of_the_sensors_of_a_recorded_flight_are_predicted(
    recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One second and a half."""
    monkeypatch.setenv("SAGE_DATA", str(recordings))
    errors = errors_of("flight", "whittle", 0, 1.5)
    assert set(errors) >= {"gyroscope", "accelerometer"}
    assert all(0 < error < 100 for error in errors.values())


def test_the_cost_of_waiting_chooses_better_than_turns() -> None:
    whittle, turns = (error_of(policy, 800, 0) for policy in ("whittle", "round_robin"))
    assert whittle < 0.97 * turns


def test_surprise_alone_attends_to_the_faulty_sources() -> None:
    assert error_of("surprise", 500, 0) > error_of("round_robin", 500, 0) > error_of("deficit", 500, 0)


def made_bars(*, saved: float, lost: float, num_missed: int, is_quick: bool = False) -> list[bool | None]:
    arms = {
        "always awake": Arm("always awake", 100.0, 0.8, 0.9, 100, {}),
        "modes": Arm("modes", 100.0 * (1 - saved), 0.8 - lost, 0.9 - lost, round(100 * (1 - lost)), {}),
    }
    errors = {
        "whittle": [0.4],
        "top_k": [0.5],
        "deficit": [0.4],
        "round_robin": [0.6],
        "random": [0.7],
        "surprise": [0.9],
    }
    recorded = {"flight": {"whittle": 0.3 + 0.2 * (lost > 0), "round_robin": 0.4}}
    costs = {"top_k": 30.0, "deficit": 40.0}
    waits = [Waiting("top_k", 0.9, 0), Waiting("deficit", 0.9, num_missed)]
    bars = bars_of(
        Deadlines(10, num_missed, 0.9), waits, 1.0, costs, errors, recorded, arms, is_quick=is_quick
    )
    return [bar.is_met for bar in bars]


def test_bars_are_met_missed_and_owed() -> None:
    assert set(made_bars(saved=0.3, lost=0.0, num_missed=0)) == {True}
    missed = made_bars(saved=0.1, lost=0.1, num_missed=1)
    assert missed.count(False) == 7
    owed = made_bars(saved=0.3, lost=0.0, num_missed=0, is_quick=True)
    assert owed.count(None) == 14
    assert False not in owed


@pytest.mark.slow
def test_modes_charge_less_than_a_run_that_is_always_awake() -> None:
    awake, modes = (measure(name, 40.0) for name in ("always awake", "modes"))
    assert 0 < modes.energy < awake.energy
    assert "rest" in modes.states
