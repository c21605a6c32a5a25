"""The promises of the scheduler, on random cases: deadlines, waiting, lag, and what a choice costs."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from sage.runtime.config import AttentionConfig
from sage.runtime.scheduling.attention import Attention
from sage.runtime.scheduling.deadlines import DeadlineServers
from sage.runtime.scheduling.deficit import DeficitRoundRobin

UTILISATION = 0.9
NUM_SOURCES, TOP_K = 64, 16


@dataclass(frozen=True)
class Deadlines:
    """num_jobs, num_missed: of all server sets.  utilisation: the mean."""

    num_jobs: int
    num_missed: int
    utilisation: float


def deadlines(num_sets: int, num_units: int, seed: int = 0) -> Deadlines:
    """Random servers whose utilisation is near 0.9, and each asks for its whole budget in each period."""
    generator = np.random.default_rng(seed)
    num_jobs = num_missed = 0
    used = []
    for _ in range(num_sets):
        periods = generator.integers(5, 60, generator.integers(2, 12))
        budgets = np.zeros(len(periods), dtype=np.int64)
        while len(fits := np.flatnonzero(UTILISATION - (budgets / periods).sum() >= 1 / periods)):
            budgets[generator.choice(fits)] += 1
        kept = budgets > 0
        servers = DeadlineServers(budgets[kept].tolist(), periods[kept].tolist())
        used.append(servers.utilisation)
        for now in range(num_units):
            starts = now % servers.periods == 0
            num_missed += int(np.count_nonzero(servers.pending[starts]))
            num_jobs += int(np.count_nonzero(starts))
            servers.arrive(np.where(starts, servers.budgets, 0), now)
            servers.run()
    return Deadlines(num_jobs, num_missed, float(np.mean(used)))


@dataclass(frozen=True)
class Waiting:
    """of a policy: the longest wait over 4 N / K + 1, and missed periods of hard rates."""

    policy: str
    longest: float
    num_missed: int


def waiting(policy: str, num_cases: int, num_ticks: int, seed: int = 0) -> Waiting:
    """Uneven scores; in every other case hard rates use up to 0.9 of the places."""
    generator = np.random.default_rng(seed)
    longest, num_missed = 0.0, 0
    for case in range(num_cases):
        top_k = int(generator.integers(2, 9))
        num_soft = int(generator.integers(top_k, 8 * top_k))
        names = [f"soft{index}" for index in range(num_soft)]
        rates: dict[str, float] = {}
        while case % 2 and sum(rates.values()) / 20 < UTILISATION * top_k - 1 and len(rates) < num_soft:
            rates[f"hard{len(rates)}"] = 20 / float(generator.integers(1, 12))
            if _is_too_much(num_soft, rates, top_k):
                rates.popitem()
                break
        names += list(rates)
        config = AttentionConfig(top_k=top_k, rates_hz=rates, policy=policy, age_boost=0.0)
        attention = Attention(len(names), config, names=names)
        score, every = generator.random(len(names)) ** 16, np.ones(len(names), dtype=bool)
        for _ in range(num_ticks):
            attention.choose(score, every, value=score)
            wait = int(attention.waited[:num_soft].max())
            longest = max(longest, wait / (4 * len(names) / top_k + 1))
        num_missed += attention.num_missed
    return Waiting(policy, longest, num_missed)


def _is_too_much(num_soft: int, rates: dict[str, float], top_k: int) -> bool:
    num = num_soft + len(rates)
    free = top_k - sum(1 / int(20 / rate + 1e-9) for rate in rates.values())
    return free <= 0 or num_soft / free > int(4 * num / top_k + 1)


def worst_lag(num_cases: int, num_choices: int, seed: int = 0) -> float:
    """Of deficit round robin: the largest |work - rounds x weight| over the cost. The bound is 1."""
    generator = np.random.default_rng(seed)
    worst = 0.0
    for _ in range(num_cases):
        num, capacity = int(generator.integers(4, 40)), int(generator.integers(1, 4))
        weights, costs = generator.uniform(0.2, 1.0, num), generator.integers(1, capacity + 1, num) * 1.0
        robin, work, every = DeficitRoundRobin(num), np.zeros(num), np.ones(num, dtype=bool)
        for _ in range(num_choices):
            before = robin.rounds
            chosen = robin.choose(weights, every, capacity, costs)
            work[chosen] += costs[chosen]
            if ((robin.rounds - before) * weights > costs).any():
                break  # a claimant deserves more than one service a choice: no lag is defined
            worst = max(worst, float((np.abs(work - robin.rounds * weights) / costs).max()))
    return worst


def choice_us(policy: str, num_choices: int, seed: int = 0) -> float:
    """Median CPU time of one choice among 64 sources for 16 places, in us, over 10 parts."""
    generator = np.random.default_rng(seed)
    attention = Attention(NUM_SOURCES, AttentionConfig(top_k=TOP_K, policy=policy))
    score, every = generator.random(NUM_SOURCES), np.ones(NUM_SOURCES, dtype=bool)
    parts = []
    for _ in range(10):
        started = time.process_time()
        for _ in range(num_choices // 10):
            attention.choose(score, every, value=score)
        parts.append((time.process_time() - started) / (num_choices // 10) * 1e6)
    return float(np.median(parts))
