"""The benchmark of coherence figures: its worlds by known cases, and a quick run's document."""

from __future__ import annotations

import json
import subprocess
import sys

import coherence
import harness
import numpy as np
import pytest
from _coherence_truths import nis_of_sensors


def test_signals_share_what_the_coupling_says() -> None:
    generator = np.random.default_rng(0)
    for coupling in (0.0, 0.9):
        signals = np.concatenate([coherence.coupled(generator, coupling, 2000) for _ in range(5)])
        assert np.corrcoef(signals.T)[0, 1] == pytest.approx(coupling**2, abs=0.12)
    assert signals.std() == pytest.approx(1.0, abs=0.1)


def test_a_rising_series_has_a_rank_correlation_of_one() -> None:
    assert coherence.spearman(np.arange(4.0), np.array([1.0, 2.0, 10.0, 11.0])) == pytest.approx(1.0)
    assert coherence.spearman(np.arange(4.0), np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx(-1.0)


def test_a_biased_sensor_is_found_and_an_honest_one_rarely() -> None:
    assert max(coherence.fault_steps(10)) <= 50
    assert nis_of_sensors(np.random.default_rng(0), 4000).mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_quick_run_prints_its_document_without_verdicts_on_few_runs() -> None:
    script = harness.ROOT / "implementation" / "bench" / "coherence.py"
    done = subprocess.run([sys.executable, script, "--quick"], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["bench"] == "coherence"
    met = {bar["name"]: bar["met"] for bar in document["bars"]}
    assert met["least share of |z| < 2 without coupling"] is None
    assert len(document["results"]["accuracy"]) == 14
