"""Robust fusion of sources with a known measurement model, beside filters, averages and other packages.

Suite simulated: five sensors of one target (sigma 1.0 1.0 1.5 2.0 0.7), 600 steps, a fault in steps 200 to
400; held-out scenarios beside the ten of the specification. A figure is the root mean square position error
in these steps over that of an oracle: a Kalman filter that is given the real noise, which readings are
faulty, and when the target jumps; both averaged over the seeds. The constants are those of the
specification and were checked with seeds 1000 to 1002; figures are of seeds 0 to 9. ANEES is per dimension,
1 is right. For the bar "kidnap" (the target is elsewhere from step 200 on) the error is taken from 24 steps
later on, over that without it. Other packages run on the same readings in an environment of their own
(./scripts/fusion_peers_env): filterpy, Stone Soup with a 99% gate, PyRecEst's Student-t update, GTSAM with
a Cauchy kernel. The limits are compared with filterpy's and Stone Soup's own results.

Plaza1 and Plaza2 are recordings with odometry, ranges and a position known to centimetres, which the gtsam
package contains. Each beacon's ranges are calibrated by a line through their first sixth, for all methods.
One configuration; range and odometry noise were chosen on Plaza2, the uncertainty after a jump and the
evidence that a rejection of the prediction needs on Plaza1. In the middle third one beacon is 6 m off or
repeats its last range, or one odometer step is 10 m too long.

Suite recordings: flight and xio through the whole loop; for the last quarter one source is 4 of its
standard deviations off, or repeats one reading. Squared prediction errors after the fault over those
without it, on the healthy sources and on the true signal beneath the faulty one. "trust" is the package's
own; "fixed rules" gives a weight of 0.05 to a source that repeats 10 readings or is 4 standard deviations
from its mean; "learned gate" has no trust weights, so that only the model and the gate of its correction
adapt; "uniform" has neither.

Suite host: the loop's fusion and trust over an hour of a machine's own cpu, ram, disk, network and process,
with loads that begin and end and nothing wrong; then six faults in each source, at 15 onsets: 4 standard
deviations of bias, drift within 10 s, noise and spikes, one reading repeated, a delay of 2 s.

Suite contexts: one of six sources is wrong in one recurring context of four, 10 s each; trust with and
without the records of entity memory, seeds 10 to 14; seeds 0, 1000 and 1001 were looked at before.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np
from _fusion_baselines import BASELINES, Track, robust, robust_with_lineage, sources_of
from _fusion_plaza import FAULTS, GATED, PRIOR_TRUSTED, ROBUST, load_plaza, position_error, with_fault
from _fusion_scenarios import (
    FAULT,
    HELD_OUT,
    LINEAGES,
    MATRIX,
    SCENARIOS,
    START_COV,
    TRANSITION,
    TRANSITION_NOISE,
    Run,
    consistency,
    make_run,
    oracle,
)
from _fusion_scenarios import position_error as error_of
from _fusion_table import Figures, consistency_table, errors_table, make_bars, plaza_table, times_table

from sage.runtime.trust.commensurable.intersection import covariance_intersection
from sage.runtime.trust.commensurable.robust_filter import RobustFilter
from sage.runtime.trust.commensurable.rules import FusionRules, Sources

PEER_PYTHON = harness.ROOT / ".venv-fusion-peers" / "bin" / "python"
PEER_SCRIPT = Path(__file__).with_name("_fusion_peer.py")
PEERS = ("filterpy", "filterpy + NIS gate", "Stone Soup", "PyRecEst", "GTSAM")
REMEDY = "make it with ./scripts/fusion_peers_env, or give its Python to --peers"
DATA_OF = "import gtsam, os; print(os.path.join(os.path.dirname(gtsam.__file__), 'Data'))"
NUM_SEEDS, QUICK_SEEDS, CONTEXT_SEEDS = 10, 1, range(10, 15)
QUICK_SCENARIOS = ("nominal", "stuck", "two collude", "kidnap")
SETTLED = slice(FAULT.start + 24, FAULT.stop)
NUM_TIMED = 300


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument(
        "--suite",
        default="simulated",
        choices=("simulated", "recordings", "host", "contexts"),
        help="which suite",
    )
    parser.add_argument("--recordings", default="flight,xio", help="names separated by commas")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds of the suite recordings")
    parser.add_argument("--peers", type=Path, default=PEER_PYTHON, help="Python of the peers' environment")
    parser.add_argument("--plaza", type=Path, help="folder of Plaza1_.mat and Plaza2_.mat (default: gtsam's)")
    parser.add_argument("--runs", type=Path, help="file that records the peers' runs, and continues them")
    arguments = parser.parse_args()
    suites = {
        "simulated": run_simulated,
        "recordings": run_recordings,
        "host": run_host,
        "contexts": run_contexts,
    }
    suites[arguments.suite](arguments)


def run_simulated(arguments: Namespace) -> None:
    is_quick = arguments.quick
    scenarios = QUICK_SCENARIOS if is_quick else (*SCENARIOS, *HELD_OUT)
    seeds = range(QUICK_SEEDS if is_quick else NUM_SEEDS)
    figures = Figures()
    peers = "left out of a quick run" if is_quick else ""
    if not peers and not arguments.peers.exists():
        peers = f"no {arguments.peers}: {REMEDY}"
    limits = None if peers else run_peers(figures, arguments.peers, scenarios, seeds, arguments.runs)
    run_own(figures, scenarios, seeds, False if is_quick else None)  # compiling takes longer than a quick run
    folder = arguments.plaza or (None if is_quick else find_plaza(arguments.peers))
    plaza = {} if folder is None else run_plaza(folder)
    times = measure_times(50 if is_quick else NUM_TIMED, (False,) if is_quick else (True, False))
    bars = make_bars(figures, plaza, times, limits, is_quick=is_quick)
    results = {
        "seeds": list(seeds),
        "peers_absent": peers or None,
        "figures": figures.as_json(),
        "plaza": plaza,
        "times_ms": times,
        "limits": limits,
        "calibration": harness.calibrate(),
    }
    tables = [errors_table(figures), consistency_table(figures), times_table(times), harness.bars_table(bars)]
    tables += [plaza_table(plaza)] if plaza else []
    if peers:
        tables.append(harness.TextTable(title=f"Other packages: {peers}", columns=("peer",), rows=()))
    notes = (__doc__ or "").partition("\n\n")[2]
    harness.finish(harness.document("fusion", results, bars), tables, is_saved=arguments.save, notes=notes)


def run_recordings(arguments: Namespace) -> None:
    from _fusion_recordings import ARMS, FAULTS, QUICK_SECS, SOURCES, Errors, run_recording
    from _fusion_table import make_recording_bars, recordings_table

    os.environ.setdefault("SAGE_DATA", str(harness.ROOT.parent / "shared" / "data"))
    is_quick, names = arguments.quick, arguments.recordings.split(",")
    unknown = [name for name in names if name not in SOURCES or name == "walk"]
    if unknown:
        raise SystemExit(f"fusion: --recordings {','.join(unknown)}: give some of flight, xio")
    names = names[:1] if is_quick else names
    found: dict[str, list[Errors]] = {}
    for name in names:
        for seed in range(1 if is_quick else arguments.seeds):
            faults = FAULTS[:2] if is_quick else FAULTS
            found.setdefault(name, []).append(
                run_recording(name, seed, faults, secs=QUICK_SECS if is_quick else None)
            )
    bars = make_recording_bars(found, is_quick=is_quick)
    results = {"suite": "recordings", "arms": ARMS, "errors": found, "calibration": harness.calibrate()}
    tables = [recordings_table(found), harness.bars_table(bars)]
    notes = (__doc__ or "").partition("\n\n")[2]
    bench = f"fusion_recordings_{names[0]}" if len(names) == 1 else "fusion_recordings"
    harness.finish(harness.document(bench, results, bars), tables, is_saved=arguments.save, notes=notes)


def run_host(arguments: Namespace) -> None:
    from _fusion_host import ONSETS, QUICK_ONSETS, QUICK_SECS, host_bars, host_tables, load_hour, run_hour

    is_quick = arguments.quick
    found = run_hour(load_hour(), QUICK_ONSETS if is_quick else ONSETS, QUICK_SECS if is_quick else None)
    bars = host_bars(found, is_quick=is_quick)
    results = {"suite": "host", "hour": asdict(found), "calibration": harness.calibrate()}
    tables = [*host_tables(found), harness.bars_table(bars)]
    notes = (__doc__ or "").partition("\n\n")[2]
    harness.finish(
        harness.document("fusion_host", results, bars), tables, is_saved=arguments.save, notes=notes
    )


def run_contexts(arguments: Namespace) -> None:
    from _fusion_contexts import HELD_OUT, SCENARIOS, contexts_bars, contexts_table, run_worlds

    is_quick = arguments.quick
    scenarios = (*SCENARIOS, *(() if is_quick else HELD_OUT))
    found = run_worlds(scenarios, CONTEXT_SEEDS[:1] if is_quick else CONTEXT_SEEDS)
    bars = contexts_bars(found, is_quick=is_quick)
    plain = [
        {"scenario": scenario, "contexts": kind, "arm": arm, "seeds": [asdict(each) for each in outcomes]}
        for (scenario, kind, arm), outcomes in found.items()
    ]
    results = {"suite": "contexts", "outcomes": plain, "calibration": harness.calibrate()}
    tables = [contexts_table(found), harness.bars_table(bars)]
    notes = (__doc__ or "").partition("\n\n")[2]
    harness.finish(
        harness.document("fusion_contexts", results, bars), tables, is_saved=arguments.save, notes=notes
    )


def run_own(figures: Figures, scenarios: tuple[str, ...], seeds: range, is_compiled: bool | None) -> None:
    """Our fusion and the baselines in NumPy."""
    for scenario in scenarios:
        for seed in seeds:
            run = make_run(scenario, seed)
            figures.add("oracle", scenario, error_of(oracle(run, scenario), run), None)
            arms: dict[str, Callable[[Run], Track]] = {
                "robust fusion": partial(robust, is_compiled=is_compiled),
                **BASELINES,
            }
            if scenario in LINEAGES:
                arms["robust fusion, lineages given"] = partial(
                    robust_with_lineage, scenario=scenario, is_compiled=is_compiled
                )
            for name, arm in arms.items():
                states, covs = arm(run)
                anees = None if covs is None else consistency(states, covs, run)
                figures.add(name, scenario, error_of(states, run), anees)
                if name == "robust fusion" and scenario in ("nominal", "kidnap"):
                    figures.settled.setdefault(scenario, []).append(error_of(states, run, SETTLED))


def run_peers(
    figures: Figures, python: Path, scenarios: tuple[str, ...], seeds: range, record: Path | None
) -> dict[str, float]:
    """The other packages' figures, and the largest differences from them in the limits."""
    known = (
        [json.loads(line) for line in record.read_text().splitlines()] if record and record.exists() else []
    )
    runs = [[scenario, seed] for scenario in scenarios for seed in seeds]
    done = {(row["scenario"], row["seed"], row["peer"]) for row in known if "peer" in row}
    owed = [run for run in runs if any((*run, peer) not in done for peer in PEERS)]
    if owed or not any("limits" in row for row in known):
        job = {"runs": owed or runs[:1], "peers": PEERS}
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        child = subprocess.Popen(
            [str(python), str(PEER_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(job))
        child.stdin.close()
        for line in child.stdout:
            known.append(json.loads(line))
            if record:
                with record.open("a") as file:
                    file.write(line)
        if child.wait() != 0:
            raise SystemExit(f"fusion: the other packages failed in {python}: {REMEDY}")
    limits: dict[str, float] = {}
    seen = set()
    for row in known:
        key = (row.get("scenario"), row.get("seed"), row.get("peer"))
        if "limits" in row:
            limits = compare_limits(row["limits"], make_run("nominal", 0))
        elif [row["scenario"], row["seed"]] in runs and key not in seen:
            seen.add(key)
            if abs(np.nansum(make_run(row["scenario"], row["seed"]).readings) - row["sum"]) > 1e-6:
                raise SystemExit(f"fusion: {python} draws other readings from a seed: give a newer NumPy")
            figures.add(row["peer"], row["scenario"], row["error"], row["consistency"])
    return limits


def compare_limits(given: dict[str, Any], run: Any) -> dict[str, float]:
    """Largest differences: from filterpy's states, with evidence switched off, and from Stone Soup's
    Chernoff updates.
    """
    plain = FusionRules(prior_inlier=np.inf, prior_scale=np.inf, is_anchored=False, is_prior_judged=False)
    fusion, largest = RobustFilter(np.zeros(4), START_COV, sources_of(run), plain, is_compiled=False), 0.0
    for readings, wanted in zip(run.readings, given["states"], strict=True):
        fusion.predict(TRANSITION, TRANSITION_NOISE)
        fusion.update(readings)
        scale = np.maximum(np.abs(wanted), 1.0)
        largest = max(largest, float((np.abs(fusion.state - wanted) / scale).max()))
    largest = max(largest, float(np.abs(fusion.cov - np.array(given["covs"])).max()))
    chernoff = 0.0
    for omega, mean, cov in given["chernoff"]:
        # Stone Soup's omega is the measurement's share.
        own = covariance_intersection(given["means"], given["given"], (1 - omega, omega))
        for ours, theirs in zip(own, (mean, cov)):
            chernoff = max(chernoff, float(np.abs(ours - np.array(theirs)).max()))
    return {"filterpy": largest, "Stone Soup's Chernoff update": chernoff}


def find_plaza(python: Path) -> Path | None:
    """gtsam's folder of data in that environment; None where there is none."""
    try:
        found = subprocess.run([str(python), "-c", DATA_OF], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return Path(found.stdout.strip())


def run_plaza(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Recording -> method -> fault -> error in m."""
    methods = {"NIS gate": GATED, "robust fusion, prior trusted": PRIOR_TRUSTED, "robust fusion": ROBUST}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in ("Plaza1", "Plaza2"):
        path = folder / f"{name}_.mat"
        if not path.is_file():
            raise SystemExit(f"fusion: --plaza {folder}: no {path.name}: give the folder Data of gtsam")
        plaza = load_plaza(path)
        for method, rules in methods.items():
            errors = {fault: position_error(with_fault(plaza, fault), rules) for fault in FAULTS}
            figures = {fault: error for fault, (error, _, _) in errors.items()}
            for fault in ("nominal", "odometry jump"):
                figures[f"{fault}, from 30 s after"] = errors[fault][2]
            found.setdefault(name, {})[method] = figures
    return found


def measure_times(num_steps: int, ways: tuple[bool, ...]) -> dict[str, float]:
    """Median milliseconds of CPU time of a filter's step (predict and update): compiled, as NumPy, and in
    batches in torch.
    """
    times = {}
    for num in (5, 64):
        generator = np.random.default_rng(0)
        sigma = generator.uniform(0.7, 2.0, num)
        sources = Sources(np.tile(MATRIX, (num, 1, 1)), sigma[:, None, None] ** 2 * np.eye(2))
        readings = generator.standard_normal((num_steps + 20, num, 2)) * sigma[:, None]
        for is_compiled in ways:
            fusion = RobustFilter(np.zeros(4), START_COV, sources, is_compiled=is_compiled)
            secs = [_step_secs(fusion, each) for each in readings]
            times[f"{num} sources, {'compiled' if is_compiled else 'NumPy'}"] = 1e3 * statistics.median(
                secs[20:]
            )
        for num_filters in (1, 100, 1000) if num == 5 else (1, 100):
            many = readings[: max(num_steps // 10, 5), None].repeat(num_filters, axis=1)
            name = f"{num} sources, torch, each of {num_filters:,}"
            times[name] = 1e3 * _batch_secs(sources, many) / num_filters
    return times


def _batch_secs(sources: Sources, readings: np.ndarray) -> float:
    """Median CPU time of a step of a batch of filters in torch, on one core. readings: (T, B, N, 2)."""
    import torch

    from sage.runtime.trust.on_device.filters import DeviceFilters

    num_threads, spent = torch.get_num_threads(), []
    torch.set_num_threads(1)
    filters = DeviceFilters(np.zeros(4), START_COV, sources, num_filters=readings.shape[1])
    motion = [torch.tensor(each) for each in (TRANSITION, TRANSITION_NOISE)]
    for each in torch.tensor(readings):
        started = time.process_time()
        filters.predict(*motion)
        filters.update(each)
        spent.append(time.process_time() - started)
    torch.set_num_threads(num_threads)
    return statistics.median(spent)


def _step_secs(fusion: RobustFilter, readings: np.ndarray) -> float:
    started = time.process_time()
    fusion.predict(TRANSITION, TRANSITION_NOISE)
    fusion.update(readings)
    return time.process_time() - started


if __name__ == "__main__":
    main()
