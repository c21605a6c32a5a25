"""`sage bench gym`: return over CPU seconds in CartPole of the loop's action head, and of a plain network.

The loop of configs/gym.yaml on a manual clock, from nothing; beside it, in the same run, a plain MLP of equal
weights that learns by the same regression with the same settings and CPU seconds, and a random policy. An arm
stops learning after --seconds of CPU time, or once the median return of its last 20 episodes, acting with
exploration, is 475. Then 20 episodes by the mode of its policy, with practice and exploration off, are its
examination. --world room: the room with a key and a door instead, with discount 0.95.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import _gym_loop
import _gym_mlp
import harness
import numpy as np
import torch
from _gym_loop import Limits, Trial

SEEDS, QUICK_SEEDS = (0, 1, 2, 3, 4), (0,)
SECONDS, QUICK_SECONDS = 600.0, 15.0
WORLDS: dict[str, list[str]] = {
    "cart": [],
    "room": [
        "environments.cart.enabled=false",
        "environments.room.enabled=true",
        "acting.discount=0.95",
        "acting.reward_scale=1.0",
    ],
}
ENOUGH = {"cart": 475.0, "room": 1.45}
BAR = 400.0
ARMS = ("loop", "mlp", "random")
NUM_BOOTSTRAPS = 2000


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--seconds", type=float, help=f"of CPU time for each trial (default {SECONDS:g})")
    parser.add_argument("--seeds", type=int, nargs="+", help="default 0 1 2 3 4")
    parser.add_argument("--world", choices=tuple(WORLDS), default="cart")
    parser.add_argument(
        "--arms", choices=("loop", "mlp", "random"), nargs="+", default=["loop", "mlp", "random"]
    )
    parser.add_argument("--runs", type=Path, help="folder of trials, to continue (default: none is kept)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = tuple(arguments.seeds or (QUICK_SEEDS if arguments.quick else SEEDS))
    seconds = arguments.seconds or (QUICK_SECONDS if arguments.quick else SECONDS)
    limits = Limits(
        cpu_secs=seconds,
        enough=ENOUGH[arguments.world],
        num_episodes=5 if arguments.quick else 20,
        max_ticks=1_000 if arguments.quick else 12_000,
    )
    trials = run_trials(arguments.world, arguments.arms, seeds, limits, arguments.runs)
    is_whole = not arguments.quick and seeds == SEEDS and seconds <= SECONDS and "loop" in arguments.arms
    bars = bars_of(trials if is_whole else [])
    results = {
        "world": arguments.world,
        "cpu_secs": seconds,
        "trials": [describe(trial) for trial in trials],
        "calibration": harness.calibrate(),
    }
    whole = harness.document("gym", results, bars if arguments.world == "cart" else [], peers=("gymnasium",))
    tables = [trials_table(trials), arms_table(trials), curves_table(trials), harness.bars_table(bars)]
    harness.finish(whole, tables if arguments.world == "cart" else tables[:-1], is_saved=arguments.save)


def run_trials(
    world: str, arms: list[str], seeds: tuple[int, ...], limits: Limits, runs: Path | None
) -> list[Trial]:
    """runs: a folder of trials; one that is there, with the same limits, is read."""
    overrides = WORLDS[world]
    num_parameters = _gym_loop.num_parameters(overrides)

    def trial(arm: str, seed: int) -> Trial:
        if arm == "loop":
            return _gym_loop.train(overrides, seed, limits, show)
        learns = arm == "mlp"
        return _gym_mlp.train(overrides, seed, num_parameters, limits, show, learns=learns)

    return [
        kept(None if runs is None else runs / f"{world}-{arm}-{seed}.json", limits, partial(trial, arm, seed))
        for seed in seeds
        for arm in ARMS
        if arm in arms
    ]


def kept(path: Path | None, limits: Limits, run: Callable[[], Trial]) -> Trial:
    """The trial in the file, or a new one, which is written to it."""
    if path is not None and path.is_file():
        plain = json.loads(path.read_text())
        if plain["limits"] == asdict(limits):
            curve = [tuple(point) for point in plain["trial"]["curve"]]
            return Trial(**{**plain["trial"], "curve": curve})
    trial = run()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"limits": asdict(limits), "trial": asdict(trial)}))
    return trial


def show(trial: Trial) -> None:
    secs, ticks, median = trial.curve[-1]
    print(
        f"{trial.arm}, seed {trial.seed}: {secs:.0f} CPU s, {ticks} ticks, {trial.num_steps} steps,"
        f" {trial.num_episodes} episodes, median return of the last 20: {median:g}",
        file=sys.stderr,
        flush=True,
    )


def bars_of(trials: list[Trial]) -> list[harness.Bar]:
    """Without trials the bar is owed; a trial whose examination has no episode misses it."""
    medians = [
        float("nan") if trial.median is None else trial.median for trial in trials if trial.arm == "loop"
    ]
    return [
        harness.Bar(
            name="lowest median return of 20 episodes, 5 seeds",
            value=float(np.min(medians)) if medians else None,
            bar=BAR,
            better="higher",
        )
    ]


def describe(trial: Trial) -> dict[str, Any]:
    rate = trial.num_ticks / trial.cpu_secs if trial.cpu_secs else None
    return asdict(trial) | {"median_return": trial.median, "ticks_per_cpu_sec": rate}


def trials_table(trials: list[Trial]) -> harness.TextTable:
    rows = tuple(
        (
            f"{trial.arm}, seed {trial.seed}",
            f"{trial.num_parameters:,}",
            f"{trial.cpu_secs:.0f}",
            f"{trial.num_ticks:,}",
            f"{trial.num_ticks / trial.cpu_secs:.0f}" if trial.cpu_secs else "-",
            f"{trial.num_steps:,}",
            f"{trial.num_episodes:,}",
            "-" if trial.median is None else f"{trial.median:g}",
            f"{min(trial.returns, default=float('nan')):g} to {max(trial.returns, default=float('nan')):g}",
        )
        for trial in trials
    )
    columns = ("trial", "weights", "CPU s", "ticks", "ticks/CPU s", "steps", "episodes", "median", "range")
    return harness.TextTable(title="Trials, and the examination's returns", columns=columns, rows=rows)


def arms_table(trials: list[Trial]) -> harness.TextTable:
    rows = []
    for arm in dict.fromkeys(trial.arm for trial in trials):
        medians = [trial.median for trial in trials if trial.arm == arm and trial.median is not None]
        low, high = interval(medians)
        middle = f"{statistics.median(medians):g}" if medians else "-"
        rows.append((arm, str(len(medians)), middle, f"{low:g} to {high:g}"))
    title = "Median return over the seeds, with its 90% bootstrap interval"
    return harness.TextTable(title=title, columns=("arm", "seeds", "median", "interval"), rows=tuple(rows))


def interval(medians: list[float]) -> tuple[float, float]:
    """Of the median over the seeds, by resampling them."""
    if not medians:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(0).choice(medians, (NUM_BOOTSTRAPS, len(medians)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.05, 0.95])
    return float(low), float(high)


def curves_table(trials: list[Trial]) -> harness.TextTable:
    """The median return of the last 20 episodes at parts of the longest trial."""
    longest = max((trial.cpu_secs for trial in trials), default=0.0)
    points = [longest * part for part in (0.125, 0.25, 0.5, 0.75, 1.0)]

    def at(trial: Trial, secs: float) -> str:
        known = [median for spent, _, median in trial.curve if spent <= secs]
        return f"{known[-1]:g}" if known else "-"

    rows = tuple(
        (f"{trial.arm}, seed {trial.seed}", *(at(trial, secs) for secs in points))
        for trial in trials
        if trial.curve
    )
    columns = ("trial", *(f"{secs:.0f} s" for secs in points))
    title = "Median return of the last 20 episodes while learning, by CPU seconds"
    return harness.TextTable(title=title, columns=columns, rows=rows)


if __name__ == "__main__":
    main()
