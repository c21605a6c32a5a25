"""A loop with little energy: charged, limited, at rest, in a crisis, and awake again."""

from __future__ import annotations

import math

import numpy as np

from sage.runtime.config import RuntimeConfig, TickConfig
from sage.runtime.energy_config import MetabolismConfig
from sage.runtime.report import State
from sage.runtime.scheduling.ledger import MICRO
from sage.runtime.sleep.allowance import Allowance
from sage.runtime.trust.answers.beta import RightOrWrong

COSTS = {"tick": 0.1, "source": 0.1, "segment": 1.0, "practice_step": 1.0}


class Facts:
    """An instrument that keeps each tick's facts."""

    def __init__(self) -> None:
        self.found = []

    def on_tick(self, report) -> None:
        self.found.append(report.facts)

    def on_sleep(self, report) -> None: ...

    def on_event(self, event) -> None: ...


def test_energy_is_charged_runs_out_and_returns(start, settings):
    seen = Facts()
    energy = {"enabled": True, "supply": 250, "recharge_per_sec": 0, "costs": COSTS}
    config = settings(
        energy=energy, budget={"segments": 3}, practice={"every_ticks": 1, "batch_size": 2, "window_ticks": 8}
    )
    loop = start(config, instruments=(seen,)).loop
    loop.run(num_ticks=90)
    for facts in seen.found:
        ledger = facts.energy
        assert ledger.available + ledger.allocated + ledger.spent + ledger.reserve == ledger.supply
        num_attended = sum(source.is_attended for source in facts.sources)
        is_empty = ledger.spent == ledger.supply  # then the one segment of the prediction stays unpaid
        assert is_empty or ledger.charged >= facts.num_segments * MICRO + num_attended * MICRO // 10
    states = [facts.state for facts in seen.found]
    first = {state: states.index(state) for state in (State.WAKE, State.REST, State.CRISIS)}
    assert first[State.WAKE] < first[State.REST] < first[State.CRISIS]
    in_crisis = [facts for facts in seen.found if facts.state is State.CRISIS]
    assert {facts.num_segments for facts in in_crisis} == {1}
    assert len({facts.learning.num_practice_steps for facts in in_crisis}) == 1

    allowance = loop.between_ticks.allowance
    saved = allowance.state()
    other = start(config).loop.between_ticks.allowance
    other.load_state({})  # of an earlier version
    assert other.mode is State.WAKE
    other.load_state(saved)
    assert other.mode is State.CRISIS
    assert other.energy.ledger.available == allowance.energy.ledger.available

    for _ in range(5):
        allowance.energy.ledger.recharge(100 * MICRO)
        loop.run(num_ticks=25)
    after = [facts.state for facts in seen.found[90:]]
    assert after[after.index(State.REST) - 1] is State.CRISIS
    assert State.CRISIS not in after[-25:]
    assert seen.found[-1].energy.supply == 250 * MICRO


def test_rest_is_of_readings_that_hardly_change_whatever_is_salient():
    config = RuntimeConfig(
        tick=TickConfig(rate_hz=20, rest_rate_hz=5),
        metabolism=MetabolismConfig(rest_after_secs=1, rest_change=0.25, focuses=True, focus_practises=True),
    )
    allowance = Allowance(config, 0)
    now_ns, states = 0, []

    def pass_secs(secs: float, change: float) -> State:
        nonlocal now_ns
        end_ns = now_ns + round(secs * 1e9)
        while now_ns < end_ns:
            is_resting = allowance.mode is State.REST
            now_ns += 200_000_000 if is_resting else 50_000_000
            allowance.step(
                now_ns, is_calm=False, is_salient=True, is_sleeping=False, crisis="",
                change=change * (4 if is_resting else 1),
            )  # fmt: skip
            states.append(allowance.mode)
        return allowance.mode

    assert pass_secs(10, 1.0) is State.FOCUS
    assert allowance.practice_steps(1) == 1
    assert pass_secs(10, 0.1) is State.REST
    assert pass_secs(4, math.nan) is State.REST
    assert pass_secs(1.4, 1.0) is not State.REST
    assert pass_secs(10, 0.5) is State.FOCUS


def test_the_trust_of_a_source_that_is_always_right_never_falls():
    """It does not decay towards 0.667 or any other value below the prior."""
    source = RightOrWrong(1)
    means = []
    for _ in range(500):
        source.judge(np.ones(1))
        means.append(float(source.mean[0]))
    assert np.diff([0.9, *means]).min() >= -1e-12
    assert means[-1] > 0.97


def test_near_a_limit_of_the_machine_a_share_of_the_ticks_has_the_budget():
    allowance = Allowance(RuntimeConfig(), 0)

    def num_whole(num_ticks: int) -> int:
        found = 0
        for _ in range(num_ticks):
            allowance.step(0, is_calm=False, is_salient=False, is_sleeping=False, crisis="")
            allowance.settle(1, 1)
            whole = allowance.segments() == RuntimeConfig().budget.segments > 1
            assert whole == (allowance.practice_steps(1) == 1) == (allowance.puzzle_segments is None)
            assert whole or (allowance.segments(), allowance.puzzle_limit) == (1, "budget")
            found += whole
        return found

    assert num_whole(10) == 10
    allowance.share = 0.25
    assert num_whole(100) == 25
    allowance.share = 0.0
    assert num_whole(100) <= 1
    allowance.share = 1.0
    assert num_whole(10) == 10
