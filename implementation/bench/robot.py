"""`sage bench robot`: success of the simulated arm in the loop of configs/robot.yaml, learning by reward.

Arms: the loop with HRM (hrm), with HRM at one segment a tick, with a linear model in the place of HRM, a
random policy, and a scripted one that reads the simulation's own state. Nothing is trained on the scripted
policy. The arm dreams, by name only, is hrm with a night of dreams every 75 simulated seconds: 1,000 actions
of practice in perturbed copies of the world, which are not among its --ticks. Each learner has --ticks
actions on a manual clock, from nothing; then every arm has the same 50 episodes of each seed, with practice,
sleep and exploration off. Intervals: bootstrap over seeds and their episodes, 95%, paired between arms. A
trial that has ended is kept in --state, and an interrupted run continues there. Also: steps of physics and
images a second, beside bare mujoco.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import _robot_arms
import harness
import numpy as np
import torch
from _robot_arms import ARMS, POLICIES, USUAL_ARMS, Trial

from sage.app.config.sage_config import config_hash, load_config
from sage.sensors.environments.mujoco.rendering import find_rendering

SEEDS, QUICK_SEEDS = (0, 1, 2, 3, 4), (0, 1)
TICKS, QUICK_TICKS = 9_000, 100
EPISODES, QUICK_EPISODES = 50, 4
NUM_BOOTSTRAPS = 4000
#: A quick run has a small loop, so that it shows the form and not the skill.
QUICK = ("environments.arm.camera=0", "budget.segments=1", "environments.arm.max_steps=10")


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--ticks", type=int, help=f"actions of a learner (default {TICKS})")
    parser.add_argument("--seeds", type=int, nargs="+", help="default 0 1 2 3 4")
    parser.add_argument("--arms", choices=ARMS, nargs="+", default=list(USUAL_ARMS))
    parser.add_argument("--episodes", type=int, help=f"of an examination (default {EPISODES})")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of the configuration"
    )
    parser.add_argument("--state", type=Path, help="folder that keeps trials, to go on after an interruption")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = tuple(arguments.seeds or (QUICK_SEEDS if arguments.quick else SEEDS))
    settings = {
        "num_ticks": arguments.ticks or (QUICK_TICKS if arguments.quick else TICKS),
        "num_episodes": arguments.episodes or (QUICK_EPISODES if arguments.quick else EPISODES),
        "overrides": (*(QUICK if arguments.quick else ()), *arguments.set),
    }
    trials = list(run_trials(arguments.arms, seeds, settings, arguments.state))
    config = _robot_arms.arm_config(load_config(_robot_arms.CONFIG, []))
    rates = _robot_arms.rates(config, 20 if arguments.quick else 300, find_rendering().backend)
    is_whole = (
        not (arguments.quick or arguments.set) and len(set(seeds)) >= 5 and settings["num_ticks"] == TICKS
    )
    bars = bars_of(trials, is_whole=is_whole)
    results = {
        "settings": settings,
        "trials": [asdict(trial) | {"success": trial.success} for trial in trials],
        "rates": rates,
        "calibration": harness.calibrate(),
    }
    whole = harness.document("robot", results, bars, peers=("mujoco",))
    tables = [arms_table(trials), trials_table(trials), rates_table(rates), harness.bars_table(bars)]
    gained = difference(_by_seed(trials, "dreams"), _by_seed(trials, "hrm"))
    if gained is not None:
        rows = (("examination, dreams minus hrm", _spread(gained)),)
        tables.insert(1, harness.TextTable(title="Dreams", columns=("", "95% interval"), rows=rows))
    harness.finish(whole, tables, is_saved=arguments.save)


def run_trials(
    arms: Sequence[str], seeds: Sequence[int], settings: dict[str, Any], state: Path | None
) -> Iterator[Trial]:
    """Each arm with each seed, seed by seed; a kept trial of the same settings and configuration is not run
    again.
    """
    asked = settings | {"config": config_hash(load_config(_robot_arms.CONFIG, []))}
    for seed in seeds:
        for arm in arms:
            path = None if state is None else state / f"{arm}-{seed}.json"
            trial = kept_trial(path, asked)
            if trial is None:
                trial = _robot_arms.run_arm(arm, seed, **settings)
                keep_trial(path, trial, asked)
            print(_line(trial), file=sys.stderr, flush=True)
            yield trial


def kept_trial(path: Path | None, settings: dict[str, Any]) -> Trial | None:
    if path is None or not path.is_file():
        return None
    kept = json.loads(path.read_text())
    return Trial(**kept["trial"]) if kept["settings"] == harness.to_json(settings) else None


def keep_trial(path: Path | None, trial: Trial, settings: dict[str, Any]) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"settings": harness.to_json(settings), "trial": asdict(trial)}))
    new.replace(path)


def _line(trial: Trial) -> str:
    return (
        f"{trial.arm}, seed {trial.seed}: {trial.cpu_secs:.0f} CPU s, {len(trial.learned)} episodes,"
        f" success {_percent(trial.third(0))} in the first third, {_percent(trial.third(2))} in the last,"
        f" {_percent(trial.success)} in the examination"
    )


def bars_of(trials: list[Trial], *, is_whole: bool) -> list[harness.Bar]:
    """Lower ends of 95% intervals, which are to be above 0; owed unless the run is whole."""
    above_random = difference(_by_seed(trials, "hrm"), _by_seed(trials, "random"))
    gain = bootstrap(_gains(trials))
    low = above_random[1] if above_random else None
    names = (
        ("hrm above random, examination, lower end of 95%", low),
        ("hrm, last third above the first, lower end of 95%", gain[1] if gain else None),
    )
    return [
        harness.Bar(name=name, value=value if is_whole else None, bar=1e-9, better="higher")
        for name, value in names
    ]


def _by_seed(trials: list[Trial], arm: str) -> dict[int, list[bool]]:
    return {trial.seed: trial.examined for trial in trials if trial.arm == arm and trial.examined}


def _gains(trials: list[Trial]) -> list[float]:
    pairs = [(trial.third(2), trial.third(0)) for trial in trials if trial.arm == "hrm"]
    return [last - first for last, first in pairs if last is not None and first is not None]


def bootstrap(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Mean of a figure of each seed and its 95% interval over the seeds; None without any."""
    if not values:
        return None
    drawn = np.random.default_rng(0).choice(values, (NUM_BOOTSTRAPS, len(values))).mean(1)
    return float(np.mean(values)), *(float(each) for each in np.quantile(drawn, [0.025, 0.975]))


def difference(one: dict[int, list[bool]], other: dict[int, list[bool]]) -> tuple[float, float, float] | None:
    """Mean difference in success over equal seeds and episodes, with its 95% interval: seeds are drawn, and
    of each its episodes, in pairs.
    """
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return None
    random = np.random.default_rng(0)
    pairs = [np.subtract(one[seed], other[seed], dtype=np.float64) for seed in seeds]
    means = []
    for _ in range(NUM_BOOTSTRAPS):
        chosen = random.integers(len(pairs), size=len(pairs))
        means.append(np.mean([random.choice(pairs[index], len(pairs[index])).mean() for index in chosen]))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(np.mean([pair.mean() for pair in pairs])), float(low), float(high)


def arms_table(trials: list[Trial]) -> harness.TextTable:
    """Each arm over the seeds, and its difference to random and to scripted."""
    rows = []
    for arm in dict.fromkeys(trial.arm for trial in trials):
        own = [trial for trial in trials if trial.arm == arm]
        successes = [trial.success for trial in own if trial.success is not None]
        thirds = [
            np.mean([t.third(which) or 0.0 for t in own]) if own[0].learned else None for which in (0, 2)
        ]
        compared = [difference(_by_seed(trials, arm), _by_seed(trials, policy)) for policy in POLICIES]
        cells = (_percent(each) for each in (*thirds, float(np.mean(successes)) if successes else None))
        rows.append((arm, str(len(own)), *cells, *(_spread(each) for each in compared)))
    columns = ("arm", "seeds", "first third", "last third", "examination", "minus random", "minus scripted")
    title = "Success over the seeds: while learning, and in the examination, with 95% intervals"
    return harness.TextTable(title=title, columns=columns, rows=tuple(rows))


def trials_table(trials: list[Trial]) -> harness.TextTable:
    rows = tuple(
        (
            f"{trial.arm}, seed {trial.seed}",
            f"{trial.num_parameters:,}",
            f"{trial.cpu_secs:.0f}",
            f"{trial.num_ticks:,}",
            f"{trial.num_steps:,}",
            f"{len(trial.learned):,}",
            _percent(trial.third(0)),
            _percent(trial.third(2)),
            _percent(trial.success),
        )
        for trial in trials
        if trial.arm not in POLICIES
    )
    columns = (
        "trial",
        "weights",
        "CPU s",
        "actions",
        "steps",
        "episodes",
        "first third",
        "last third",
        "exam",
    )
    return harness.TextTable(title="Trials that learn", columns=columns, rows=rows)


def rates_table(rates: dict[str, float | None]) -> harness.TextTable:
    def cell(name: str) -> str:
        value = rates[name]
        return "-" if value is None else f"{value:,.0f}"

    rows = (
        (
            "steps of physics a CPU second",
            cell("world_physics_steps_per_cpu_sec"),
            cell("bare_physics_steps_per_cpu_sec"),
        ),
        ("images a second", cell("world_images_per_sec"), cell("bare_images_per_sec")),
    )
    return harness.TextTable(title="The simulator", columns=("", "the arm's world", "bare mujoco"), rows=rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"


def _spread(value: tuple[float, float, float] | None) -> str:
    return "-" if value is None else "{:+.0%} ({:+.0%} to {:+.0%})".format(*value)


if __name__ == "__main__":
    main()
