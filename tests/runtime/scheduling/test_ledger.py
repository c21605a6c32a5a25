"""The ledger adds up after every operation; limits of a tick are kept; energy is charged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.errors import InputError
from sage.runtime.energy_config import EnergyConfig, EnergyCosts
from sage.runtime.scheduling.budgets import TickBudget
from sage.runtime.scheduling.energy import Energy
from sage.runtime.scheduling.energy_facts import NO_ENERGY
from sage.runtime.scheduling.ledger import MICRO, Allocation, EnergyLedger

OPERATIONS = st.tuples(
    st.sampled_from(["allocate", "commit", "refund", "recharge", "draw"]),
    st.integers(0, 400),
    st.integers(0, 9),
)


def assert_adds_up(ledger: EnergyLedger, supply: int) -> None:
    parts = (ledger.available, ledger.allocated, ledger.spent, ledger.reserve)
    assert min(parts) >= 0
    assert sum(parts) == ledger.supply == supply


@settings(max_examples=100, deadline=None)
@given(st.lists(OPERATIONS, max_size=60), st.integers(1, 1000), st.floats(0, 1))
def test_the_accounts_add_up_to_the_supply_after_every_operation(operations, supply: int, share: float):
    ledger = EnergyLedger(supply, int(supply * share))
    live: list[Allocation] = []
    for kind, amount, index in operations:
        if kind == "allocate":
            found = ledger.allocate("x", amount)
            live += [found] if found is not None else []
        elif kind == "recharge":
            ledger.recharge(amount)
        elif kind == "draw":
            assert ledger.draw_reserve(amount) <= amount
        elif live:
            allocation = live.pop(index % len(live))
            if kind == "refund":
                ledger.refund(allocation)
            else:
                ledger.commit(allocation, min(amount, allocation.amount))
        assert_adds_up(ledger, supply)


def test_no_operation_makes_more_credit_than_the_supply():
    """A budget of 1,000 that becomes 1,800 by refunds and recharges is what this ledger rules out."""
    ledger = EnergyLedger(1000)
    for _ in range(50):
        allocation = ledger.allocate("x", 100)
        assert allocation is not None
        ledger.commit(allocation, 20)
        ledger.recharge(500)
        for end in (ledger.refund, ledger.commit):
            with pytest.raises(InputError, match="has ended"):
                end(allocation)
    assert ledger.available == 1000
    assert ledger.recharge(800) == 0
    assert not ledger.restore(1800, 0, 0)


def test_more_than_was_allocated_cannot_be_committed():
    ledger = EnergyLedger(10)
    allocation = ledger.allocate("x", 4)
    assert allocation is not None
    with pytest.raises(InputError, match="commit 5 of 4"):
        ledger.commit(allocation, 5)
    assert ledger.allocate("y", 7) is None
    ledger.refund(allocation)
    assert ledger.available == 10
    with pytest.raises(InputError, match="give a supply above 0"):
        EnergyLedger(0)


def test_limits_of_a_tick_are_all_or_nothing():
    budget = TickBudget({"segments": 3, "tokens": 100, "wall_ns": None, "bytes": 10})
    assert budget.take(segments=2, tokens=60, wall_ns=10**12)
    assert budget.short_of(segments=1, tokens=60) == "tokens"
    assert not budget.take(segments=1, tokens=60)
    assert (budget.left("segments"), budget.left("tokens"), budget.left("wall_ns")) == (1, 40, None)
    budget.start()
    assert budget.take(segments=3, bytes=10)
    with pytest.raises(InputError, match="from 0"):
        budget.take(segments=-1)


def test_energy_is_charged_recharged_and_limits_what_is_affordable():
    costs = EnergyCosts(segment=2.0, tick=1.0)
    energy = Energy(EnergyConfig(enabled=True, supply=10, reserve=0.2, recharge_per_sec=3, costs=costs), 0)
    assert energy.affordable("segment", 9) == 4
    assert energy.charge("segment", 4)
    assert not energy.charge("segment")
    energy.charge_always("tick", 3)  # the reserve has 2
    facts = energy.facts()
    assert (facts.available, facts.reserve, facts.spent, facts.charged) == (0, 0, 10 * MICRO, 10 * MICRO)
    energy.recharge(10**9)
    assert (energy.ledger.reserve, energy.ledger.available) == (2 * MICRO, MICRO)
    resumed = Energy(EnergyConfig(enabled=True, supply=10, reserve=0.2, costs=costs), 0)
    resumed.load_state(energy.state())
    assert resumed.ledger.available == MICRO
    resumed.load_state({})
    assert resumed.ledger.available == MICRO


def test_the_reserve_pays_only_what_is_not_available():
    costs = EnergyCosts(segment=5.0)
    energy = Energy(EnergyConfig(enabled=True, supply=10, reserve=0.2, costs=costs), 0)
    assert energy.charge("segment")  # 3 of 8 are left
    energy.charge_always("segment")
    facts = energy.facts()
    assert (facts.available, facts.reserve, facts.charged) == (0, 0, 10 * MICRO)
    again = Energy(EnergyConfig(enabled=True, supply=10, reserve=0.2, costs=EnergyCosts(segment=9.0)), 0)
    again.charge_always("segment")
    assert (again.ledger.available, again.ledger.reserve) == (0, MICRO)


def test_disabled_energy_limits_and_reports_nothing():
    energy = Energy(EnergyConfig(), 0)
    assert energy.affordable("segment", 10**9) == 10**9
    assert energy.charge("segment", 10**9)
    assert energy.facts() is NO_ENERGY
