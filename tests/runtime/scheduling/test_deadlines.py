"""Earliest deadline first with a budget server each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.errors import InputError
from sage.runtime.scheduling.deadlines import DeadlineServers


def servers_at(data: st.DataObject, most: float) -> DeadlineServers:
    """Random budgets and periods with a utilisation of at most `most`, and near it."""
    budgets, periods, share = [], [], 0.0
    for _ in range(data.draw(st.integers(1, 6))):
        period = data.draw(st.integers(2, 30))
        budget = min(data.draw(st.integers(1, period)), int((most - share) * period))
        if budget >= 1:
            budgets.append(budget)
            periods.append(period)
            share += budget / period
    return DeadlineServers(budgets or [1], periods or [30])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_deadline_is_missed_at_utilisation_nine_tenths(data: st.DataObject):
    servers = servers_at(data, 0.9)
    done, asked = (
        np.zeros(len(servers.budgets), dtype=np.int64),
        np.zeros(len(servers.budgets), dtype=np.int64),
    )
    for now in range(300):
        is_start = now % servers.periods == 0
        assert (done[is_start] == asked[is_start]).all()  # the last period's work is done
        work = np.where(is_start, servers.budgets, 0)
        servers.arrive(work, now)
        asked += work
        done += servers.run()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_server_that_asks_for_more_delays_no_other(data: st.DataObject):
    servers = servers_at(data, 1.0)
    done, asked = (
        np.zeros(len(servers.budgets), dtype=np.int64),
        np.zeros(len(servers.budgets), dtype=np.int64),
    )
    for now in range(300):
        is_start = now % servers.periods == 0
        assert (done[1:][is_start[1:]] == asked[1:][is_start[1:]]).all()
        work = np.where(is_start, servers.budgets, 0)
        work[0] = 7  # in every unit of time
        servers.arrive(work, now)
        asked += work
        done += servers.run()


def test_the_greedy_server_still_gets_its_bandwidth():
    servers = DeadlineServers([1, 1], [2, 2])
    given_units = np.zeros(2, dtype=np.int64)
    for now in range(100):
        servers.arrive(np.array([5, 1 if now % 2 == 0 else 0]), now)
        given_units += servers.run()
    assert given_units.tolist() == [50, 50]


def test_one_unit_a_time_where_work_is_not_parallel():
    servers = DeadlineServers([1, 1], [1, 2], capacity=2, is_parallel=False)
    servers.arrive(np.array([4, 1]), 0)
    assert servers.run().tolist() == [1, 1]
    assert servers.run().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("budgets", "periods", "words"),
    [
        ([3, 2], [5, 4], "1.10 of the capacity 1"),
        ([0], [1], "below 1"),
        ([1], [1, 2], "1 budgets for 2 periods"),
    ],
)
def test_what_cannot_be_served_is_refused(budgets: list[int], periods: list[int], words: str):
    with pytest.raises(InputError, match=words):
        DeadlineServers(budgets, periods)
