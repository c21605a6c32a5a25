"""Coherence figures: every estimator beside its known truth and a reference package where one is installed,
the false alarms of its null distribution, its response to coupling, to a fault, and its cost in the loop.

Truths are those of the models that the samples are drawn from. "naive" is the uncorrected estimator on the
same samples. z under independence uses smooth signals (AR(1), phi 0.9), which a test that counts samples as
independent would call related. Reference packages (thoi, antropy, netcal, repsim) are columns only where
they are installed. CPU time is the process's. The default configuration's loop runs on a simulated clock,
without practice, puzzles and nights; coherence is then measured on its thread, beside the tick otherwise.
"""

from __future__ import annotations

import importlib
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import harness
import numpy as np
import torch
from _coherence_loop import cost_in_loop
from _coherence_truths import autoregression, nis_of_sensors, truths

from sage.runtime.coherence import information, similarity, sources, synchrony
from sage.runtime.coherence.measures import measure
from sage.runtime.coherence.surrogates import draw_lags, null_of, shifted
from sage.runtime.coherence.timescales import lempel_ziv
from sage.runtime.coherence.window import Ticks, TickWindow

WITHIN, STANDARD_ERRORS = 0.02, 2.0
COUPLINGS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RATE_HZ, WINDOW_TICKS = 20.0, 256


def order_of_oscillators(generator: np.random.Generator, coupling: float, num: int = 400) -> float:
    """Squared order of Kuramoto oscillators with Lorentzian frequencies of width 1."""
    frequency = np.tan(np.pi * ((np.arange(num) + 0.5) / num - 0.5))
    angles, series = generator.uniform(0, 2 * np.pi, num), []
    for step in range(1200):
        mean = np.exp(1j * angles).mean()
        angles = angles + 0.05 * (frequency + coupling * np.abs(mean) * np.sin(np.angle(mean) - angles))
        if step >= 600:
            series.append(angles)
    return synchrony.order_squared(np.array(series))


def accuracy(num_draws: int) -> list[dict[str, Any]]:
    rows = []
    for number, (name, truth, estimate, naive) in enumerate(truths()):
        generator = np.random.default_rng([1, number])
        values = np.array([estimate(generator) for _ in range(num_draws)])
        error = float(values.std(ddof=1)) / math.sqrt(num_draws)
        mean = float(values.mean())
        rows.append(
            {
                "estimator": name,
                "truth": truth,
                "mean": mean,
                "standard_error": error,
                "naive": None
                if naive is None
                else statistics.fmean(naive(generator) for _ in range(num_draws)),
                "is_within": abs(mean - truth) <= max(WITHIN * abs(truth), STANDARD_ERRORS * error),
            }
        )
    return rows


def coupled(generator: np.random.Generator, coupling: float, num: int = WINDOW_TICKS) -> np.ndarray:
    """(num, 4) smooth signals that share a part: x = c s + sqrt(1 - c^2) own."""
    shared = autoregression(generator, num, 1)
    own = autoregression(generator, num, 4)
    signals: np.ndarray = coupling * shared + math.sqrt(1 - coupling**2) * own
    return signals


def estimators() -> dict[str, Callable[[np.ndarray], float]]:
    def phases(signals: np.ndarray) -> np.ndarray:
        return synchrony.phases(signals, RATE_HZ, (0.4, 5.0))[0]

    return {
        "agreement": lambda x: sources.agreement(np.stack([x, x**3], axis=-1), np.ones(4)),
        "rep.cka": lambda x: similarity.debiased_cka(x[:, :2], x[:, 2:]),
        "sync.r2u": lambda x: synchrony.order_squared(phases(x)),
        "sync.ppc": lambda x: synchrony.pairwise_consistency(phases(x)),
        "info.tc": information.total_correlation,
    }


def false_alarms(num_runs: int, num_surrogates: int) -> dict[str, float]:
    """Share of runs of independent signals with |z| < 2."""
    found = {}
    for name, estimate in estimators().items():
        generator = np.random.default_rng([2, num_runs])
        inside = 0
        for _ in range(num_runs):
            signals = coupled(generator, 0.0)
            lags = draw_lags(generator, num_surrogates, 4, len(signals))
            values = np.array([estimate(shifted(signals, each)) for each in lags])
            inside += abs(null_of(values).z(estimate(signals))) < 2
        found[name] = inside / num_runs
    generator = np.random.default_rng(3)
    zs = []
    for _ in range(num_runs):
        nis = nis_of_sensors(generator, 50)
        zs.append((sources.cross_error(nis) - 1) / sources.cross_error_deviation(nis, np.ones(5)))
    found["pred.xerr"] = float((np.abs(zs) < 2).mean())
    return found


def responses(num_runs: int) -> dict[str, float]:
    """Spearman correlation of coupling and value, over the couplings, each the mean of `num_runs` runs."""
    found = {}
    for name, estimate in estimators().items():
        generator = np.random.default_rng(4)
        values = [
            statistics.fmean(estimate(coupled(generator, coupling)) for _ in range(num_runs))
            for coupling in COUPLINGS
        ]
        found[name] = spearman(np.array(COUPLINGS), np.array(values))
    return found


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(values)) for values in (first, second)]
    return float(np.corrcoef(ranks)[0, 1])


def fault_steps(num_runs: int) -> list[int]:
    """Steps until pred.xerr of the steps since the fault (bias 2.5 sigma of one of five) has z above 3; 51
    where it has not within 50.
    """
    found = []
    for run in range(num_runs):
        nis = nis_of_sensors(np.random.default_rng([5, run]), 50, bias=2.5)
        zs = [
            (sources.cross_error(nis[:num]) - 1) / sources.cross_error_deviation(nis[:num], np.ones(5))
            for num in range(1, 51)
        ]
        found.append(next((step for step, z in enumerate(zs, 1) if z > 3), 51))
    return found


def cost(num_ticks: int) -> dict[str, float]:
    """Of 16 sources and 64 features at 20 Hz: CPU microseconds a tick of collecting, and of measuring a
    window divided by its ticks, beside 2% of the tick's period.
    """
    generator = np.random.default_rng(6)
    states = generator.standard_normal((16, 64)).astype(np.float32)
    present, nis = np.ones(16, dtype=bool), np.ones(16)
    high = torch.randn(18, 64)
    window = TickWindow(num_ticks, np.full(16, 4), 64, torch.device("cpu"))
    started = time.process_time()
    for tick in range(num_ticks):
        window.add(
            time_ns=tick * 50_000_000, states=states, present=present, nis=nis, error=1.0, persistence=2.0,
            high=high, low=high,
        )  # fmt: skip
    collect_us = (time.process_time() - started) / num_ticks * 1e6
    ticks = lived(generator, WINDOW_TICKS)
    started = time.process_time()
    measure(ticks)
    return {"collect_us": collect_us, "measure_us": (time.process_time() - started) / WINDOW_TICKS * 1e6}


def lived(generator: np.random.Generator, num: int) -> Ticks:
    states = autoregression(generator, num, 16 * 64).reshape(num, 16, 64)
    return Ticks(
        tick=num, time_ns=num * 50_000_000, rate_hz=RATE_HZ, states=states,
        present=np.ones((num, 16), dtype=bool), nis=generator.standard_normal((num, 16)) ** 2,
        error=np.ones(num), persistence=np.full(num, 2.0), trust=np.full(16, 0.9), dims=np.full(16, 4),
        high=states[:, 0], low=states[:, 1],
    )  # fmt: skip


def references() -> list[dict[str, Any]]:
    """The same samples by a package of others, where it is installed: name, ours, theirs."""
    generator = np.random.default_rng(7)
    rows = []
    bits = (generator.random(500) < 0.5).astype(int)
    if (antropy := installed("antropy")) is not None:
        theirs = float(antropy.lziv_complexity(bits, normalize=False))
        rows.append(
            {"figure": "Lempel-Ziv phrases, antropy", "ours": float(lempel_ziv(bits)), "theirs": theirs}
        )
    if (thoi := installed("thoi.measures.gaussian_copula")) is not None:
        root = np.linalg.cholesky(np.full((4, 4), 0.9) + 0.1 * np.eye(4))
        signals = generator.standard_normal((20_000, 4)).dot(root.T)
        total, _, o, _ = (float(each) for each in np.ravel(thoi.nplets_measures(signals)[0, 0]))
        rows.append(
            {
                "figure": "total correlation, thoi",
                "ours": information.total_correlation(signals),
                "theirs": total,
            }
        )
        rows.append(
            {"figure": "O-information, thoi", "ours": information.o_information(signals), "theirs": o}
        )
    return rows


def installed(name: str) -> Any | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def text_table(title: str, rows: Sequence[dict[str, Any]]) -> harness.TextTable:
    """The columns of the first row; numbers with three digits."""

    def cell(value: Any) -> str:
        if isinstance(value, (str, bool)):
            return str(value)
        return harness.number(None if value is None else float(value))

    columns = tuple(rows[0])
    return harness.TextTable(
        title=title, columns=columns, rows=tuple(tuple(cell(row[name]) for name in columns) for row in rows)
    )


def bars_of(results: dict[str, Any], *, is_quick: bool) -> list[harness.Bar]:
    """Shares and correlations of a quick run are of too few runs for a verdict."""
    costs = results["cost"]
    share = statistics.fmean(row["is_within"] for row in results["accuracy"])
    inside, monotone = min(results["inside"].values()), min(results["monotone"].values())
    return [
        harness.Bar(
            name="share of estimators within 2% or 2 standard errors",
            value=None if is_quick else share,
            bar=1.0,
            better="higher",
        ),
        harness.Bar(
            name="least share of |z| < 2 without coupling",
            value=None if is_quick else inside,
            bar=0.93,
            better="higher",
        ),
        harness.Bar(
            name="least Spearman with coupling",
            value=None if is_quick else monotone,
            bar=0.95,
            better="higher",
        ),
        harness.Bar(
            name="steps until a bias of 2.5 sigma has z above 3, in 95% of runs",
            value=float(np.percentile(results["fault_steps"], 95)),
            bar=50,
            better="lower",
        ),
        harness.Bar(
            name="CPU of collecting and measuring / period of a tick at 20 Hz",
            value=(costs["collect_us"] + costs["measure_us"]) / (1e6 / RATE_HZ),
            bar=0.02,
            better="lower",
        ),
        harness.Bar(
            name="CPU of coherence / CPU of a tick, default configuration",
            value=results["loop"]["share_of_tick"],
            bar=0.02,
            better="lower",
        ),
    ]


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    torch.set_num_threads(1)
    draws, runs, surrogates = (60, 20, 19) if arguments.quick else (400, 200, 99)
    couplings = (4.0,) if arguments.quick else (3.0, 4.0, 6.0)
    results: dict[str, Any] = {
        "accuracy": accuracy(draws),
        "order": [
            {
                "coupling": coupling,
                "truth": 1 - 2 / coupling,
                "sync.r2u": order_of_oscillators(np.random.default_rng(0), coupling),
            }
            for coupling in couplings
        ],
        "inside": false_alarms(runs, surrogates),
        "monotone": responses(2 if arguments.quick else 20),
        "fault_steps": fault_steps(runs),
        "cost": cost(2000),
        "loop": cost_in_loop("default", 1 if arguments.quick else 4),
        "references": references(),
        "calibration": harness.calibrate(),
    }
    chance = [
        {
            "figure": name,
            "|z| < 2 without coupling": share,
            "Spearman with coupling": results["monotone"].get(name),
        }
        for name, share in results["inside"].items()
    ]
    tables = [
        text_table("Estimators beside their truths", results["accuracy"]),
        text_table("Squared order of coupled oscillators", results["order"]),
        text_table("Under chance, and with coupling", chance),
    ]
    tables.append(text_table("CPU in the loop of the default configuration, a tick", [results["loop"]]))
    if results["references"]:
        tables.append(text_table("Reference packages on the same samples", results["references"]))
    bars = bars_of(results, is_quick=arguments.quick)
    document = harness.document("coherence", results, bars)
    tables.append(harness.bars_table(bars))
    harness.finish(document, tables, is_saved=arguments.save, notes=(__doc__ or "").partition("\n\n")[2])


if __name__ == "__main__":
    main()
