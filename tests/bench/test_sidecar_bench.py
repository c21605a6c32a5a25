"""The benchmark of the sidecar: its rules by known cases, and a quick run's document."""

from __future__ import annotations

import json
import subprocess
import sys

import harness
import pytest
import torch
from sidecar import DIM, RULES, Capacity, Hebb, PublicSidecar, bars_of, make_pairs, recalled_share

from sage.memory.sidecar.fast_weights import RecursiveLeastSquares


def test_orthogonal_pairs_are_recalled_by_hebb_and_rls() -> None:
    keys, values = torch.eye(8, dtype=torch.float64), torch.eye(8, dtype=torch.float64).flip(0)
    for rule in (Hebb(8), RecursiveLeastSquares(8, 8)):
        for key, value in zip(keys, values):
            rule.write(key, value)
        assert recalled_share(rule, keys, values) == 1.0


def test_a_rule_that_read_nothing_recalls_nothing() -> None:
    keys, values = make_pairs("random", 4, seed=0, dim=8)
    assert recalled_share(Hebb(8), keys, values) == 0.0


def test_correlated_keys_have_a_cosine_of_about_a_half() -> None:
    keys, _ = make_pairs("correlated", 200, seed=0)
    cosine = keys @ keys.T
    assert float((cosine.sum() - 200) / (200 * 199)) == pytest.approx(0.5, abs=0.07)


def test_the_gain_of_the_public_rule_cancels() -> None:
    keys, values = make_pairs("random", 6, seed=0, dim=64)
    one, ten = PublicSidecar(64), PublicSidecar(64)
    for key, value in zip(keys, values):
        one.write(key, value, gain=1.0)
        ten.write(key, value, gain=10.0)
    torch.testing.assert_close(one.read(keys), ten.read(keys), rtol=1e-3, atol=1e-4)


def test_the_bars_are_on_rls_at_four_pairs_a_dimension() -> None:
    def of(recall: float, num: int) -> Capacity:
        return Capacity("RLS", "random", num, recall, write_cpu_us=1.0, state_bytes=1)

    met = [bar.is_met for bar in bars_of([of(0.5, 64), of(0.995, 4 * DIM)])]
    assert met == [True, None]
    assert bars_of([of(0.98, 4 * DIM)])[0].is_met is False


def test_the_quick_benchmark_ends_with_its_document() -> None:
    command = [sys.executable, str(harness.ROOT / "implementation" / "bench" / "sidecar.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["bench"] == "sidecar"
    assert {each["rule"] for each in document["results"]["capacity"]} == set(RULES)
    assert all(bar["met"] for bar in document["bars"])
