"""The whole loop against itself without one of its parts, at the same CPU seconds.

Arms: full; minus trust (all trust 1; solutions shown are not checked); minus attention (round robin); minus
memory (no replay, no recall, no nights; practice on the newest alone); minus sleep; linear (in the place of
HRM); one segment a tick or an answer. Each is a setting of docs/configuration.md. An arm is left out of a
suite where its part has nothing to do: where every source has a place, attention chooses nothing.

Suites: recordings, scarce (places for half of the sources) and faulty (the first source freezes): flight and
the first minute of xio, skill on the last quarter; puzzles and lies (15% of the solutions shown are wrong):
held-out 4x4 and 6x6 sudokus after four days and nights; robot: success in 50 episodes.

Same compute: recordings, at each quarter's end an arm practises until it has used the CPU seconds of the
whole with the same seed. Puzzles, 80 CPU seconds of practice and nights. Robot, as many actions as fit into
the CPU seconds of the whole's --ticks. Intervals: 95%, paired bootstrap over seeds and blocks (an eighth of
a quarter, a puzzle, an episode); blocks that all seeds have are drawn once for all of them. With --runs a
finished cell is read from its file; --kept runs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import _life_arms
import _robot_arms
import _whole_recordings as recordings
import harness
import numpy as np
import torch
from _whole_arms import ARMS, FULL, SUITES, Arm
from _whole_cells import Cell, Difference, Group, difference, keep, kept, score

from sage.runtime.config import SolvingConfig

FEWEST_SEEDS = 3
#: Actions of an arm that costs less than the whole, as a multiple of the whole's.
MOST_TICKS = 20
QUICK_ARMS = {FULL, "minus sleep"}
QUICK_SUITES = ("recordings", "puzzles", "robot")
NO_CAMERA = ("environments.arm.camera=0",)
QUICK_ROBOT = ("environments.arm.max_steps=10", "sleep.enabled=false", "practice.batch_size=8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """ticks, episodes: of the robot.  puzzles: of a life."""

    is_quick: bool = False
    ticks: int = 6000
    episodes: int = 50
    puzzles: _life_arms.Scale = field(default_factory=_life_arms.Scale)


QUICK = Scale(is_quick=True, ticks=60, episodes=3, puzzles=_life_arms.QUICK)


class Cells:
    """Runs cells, or reads them from `folder`. The whole with the same seed is run first where an arm's CPU
    seconds are those of the whole.
    """

    def __init__(self, scale: Scale, folder: Path | None, *, runs_nothing: bool = False) -> None:
        self._scale = scale
        self._folder = folder
        self._runs_nothing = runs_nothing
        self._found: dict[tuple[str, str, int], Cell] = {}

    def get(self, suite: str, arm: str, seed: int) -> Cell | None:
        """None where nothing is run and no file has the cell."""
        key = (suite, arm, seed)
        if key not in self._found:
            of = {"suite": suite, "arm": asdict(ARMS[arm]), "seed": seed, "scale": asdict(self._scale)}
            cell = kept(self._folder, of)
            if cell is None:
                if self._runs_nothing:
                    return None
                cell = self._run(suite, ARMS[arm], seed)
                keep(self._folder, of, cell)
            self._found[key] = cell
        return self._found[key]

    def _run(self, suite: str, arm: Arm, seed: int) -> Cell:
        make: Callable[[str, Arm, int], Cell] = self._recordings
        if suite in ("puzzles", "lies"):
            make = self._puzzles
        elif suite == "robot":
            make = self._robot
        return make(suite, arm, seed)

    def _whole(self, suite: str, arm: Arm, seed: int) -> Cell | None:
        return None if arm.name == FULL else self.get(suite, FULL, seed)

    def _recordings(self, suite: str, arm: Arm, seed: int) -> Cell:
        whole, is_quick = self._whole(suite, arm, seed), self._scale.is_quick
        names = recordings.QUICK_SECONDS if is_quick else recordings.SECONDS
        groups: list[Group] = []
        cpu_secs, steps = {}, {}
        for name in names:
            limits = () if whole is None else whole.cpu_secs[name]
            lived = recordings.live(name, arm, suite, seed, limits, is_quick=is_quick)
            groups += lived.groups
            cpu_secs[name], steps[name] = lived.cpu_secs, lived.num_steps
        return Cell(
            suite=suite,
            arm=arm.name,
            seed=seed,
            groups=tuple(groups),
            cpu_secs=cpu_secs,
            facts={"practice_steps": steps},
        )

    def _puzzles(self, suite: str, arm: Arm, seed: int) -> Cell:
        teacher = {"lying": 0.15} if suite == "lies" else "after"
        life = _life_arms.Life(
            _life_arms.Arm(
                arm.name,
                sleeps=arm.sleeps,
                training=dict(arm.training),
                teacher=teacher,
                reasoner=arm.reasoner,
            ),
            seed,
            self._scale.puzzles,
            solving=SolvingConfig(max_segments=arm.segments),
        )
        lived = life.run()
        groups = tuple(
            Group(name=f"{size}x{size}", rows=("solved",), values=(solved.astype(int).tolist(),))
            for size, solved in zip(_life_arms.SIZES, life.solved)
        )
        return Cell(
            suite=suite,
            arm=arm.name,
            seed=seed,
            groups=groups,
            cpu_secs={"training": (lived.train_secs,)},
            facts={
                "practice_steps": lived.steps,
                "area": lived.area,
                "nights": [each["outcome"] for each in lived.nights],
            },
        )

    def _robot(self, suite: str, arm: Arm, seed: int) -> Cell:
        whole, scale = self._whole(suite, arm, seed), self._scale
        recordings.warm_up()
        settings = (*NO_CAMERA, *(QUICK_ROBOT if scale.is_quick else ()), *arm.loop)
        if whole is None:
            trial = _robot_arms.learn(arm.name, seed, scale.ticks, scale.episodes, settings)
        else:
            trial = _robot_arms.learn(
                arm.name,
                seed,
                MOST_TICKS * scale.ticks,
                scale.episodes,
                settings,
                cpu_secs=whole.total_secs,
            )
        solved = [int(each) for each in trial.examined]
        return Cell(
            suite=suite,
            arm=arm.name,
            seed=seed,
            groups=(Group(name="examination", rows=("success",), values=(solved,)),),
            cpu_secs={"learning": (trial.cpu_secs,)},
            facts={"practice_steps": trial.num_steps, "actions": trial.num_ticks},
        )


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--only", help=f"suites, of {', '.join(SUITES)} (default: all)")
    parser.add_argument("--arms", help=f"arms, of {', '.join(ARMS)} (default: all)")
    parser.add_argument(
        "--seeds", type=harness.seeds_of, help="random seeds, separated by commas (default: 0,1,2)"
    )
    parser.add_argument("--ticks", type=int, help=f"actions of the whole, robot (default: {Scale().ticks})")
    parser.add_argument("--runs", type=Path, help="folder of finished cells (default: none is kept)")
    parser.add_argument("--kept", action="store_true", help="the cells that --runs holds, and no others")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.kept and arguments.runs is None:
        raise SystemExit("--kept: no folder: give --runs DIR, too")
    scale = scale_of(arguments)
    suites = chosen(arguments.only, SUITES, "--only", QUICK_SUITES if arguments.quick else tuple(SUITES))
    names = chosen(arguments.arms, ARMS, "--arms", tuple(QUICK_ARMS if arguments.quick else ARMS))
    seeds = seeds_of(arguments)
    cells = Cells(scale, None if arguments.quick else arguments.runs, runs_nothing=arguments.kept)
    found = run_cells(cells, suites, names, seeds)
    gaps = differences(found)
    bars = bars_of(suites, gaps)
    results = {
        "scale": asdict(scale),
        "settings": {name: ARMS[name].keys for name in ARMS},
        "cells": [asdict(cell) | {"score": scored(found, cell)} for cell in every(found)],
        "differences": {
            f"{suite}, {arm}": asdict(gap) for (suite, arm), gap in gaps.items() if gap is not None
        },
        "calibration": harness.calibrate(),
    }
    whole = harness.document("whole", results, bars)
    tables = [cells_table(found, gaps), harness.bars_table(bars)]
    harness.finish(whole, tables, is_saved=arguments.save, notes=(__doc__ or "").partition("\n\n")[2])


def scale_of(arguments: Any) -> Scale:
    return QUICK if arguments.quick else Scale(ticks=arguments.ticks or Scale().ticks)


def chosen(given: str | None, known: Mapping[str, Any], option: str, default: Sequence[str]) -> list[str]:
    """Names of an option, in the order of `known`. SystemExit for an unknown one."""
    names = list(default) if given is None else given.split(",")
    if unknown := set(names) - known.keys():
        raise SystemExit(f"{option}: {min(unknown)} is unknown: give some of {', '.join(known)}")
    return [name for name in known if name in names]


def seeds_of(arguments: Any) -> tuple[int, ...]:
    if arguments.seeds is not None:
        return tuple(arguments.seeds)
    return (0,) if arguments.quick else (0, 1, 2)


Found = dict[tuple[str, str], dict[int, Cell]]


def run_cells(cells: Cells, suites: Sequence[str], names: Sequence[str], seeds: Sequence[int]) -> Found:
    """Seed by seed, so that every suite has one seed early. The whole is in every suite that is run."""
    found: Found = {}
    for seed in seeds:
        for suite in suites:
            for arm in SUITES[suite].arms:
                if arm not in names and arm != FULL:
                    continue
                cell = cells.get(suite, arm, seed)
                if cell is None:
                    continue
                found.setdefault((suite, arm), {})[seed] = cell
                print(
                    f"{suite}, {arm}, seed {seed}: {scored(found, cell):.3f}, {cell.total_secs:.0f} CPU s",
                    file=sys.stderr,
                    flush=True,
                )
    return found


def every(found: Found) -> list[Cell]:
    return [cell for seeds in found.values() for cell in seeds.values()]


def scored(found: Found, cell: Cell) -> float:
    """Against the persistence of the whole with the same seed."""
    return score(cell, found.get((cell.suite, FULL), {}).get(cell.seed, cell))


def differences(found: Found) -> dict[tuple[str, str], Difference | None]:
    """The whole less each other arm, by suite and arm."""
    return {
        (suite, arm): difference(found.get((suite, FULL), {}), seeds)
        for (suite, arm), seeds in found.items()
        if arm != FULL
    }


def bars_of(suites: Sequence[str], gaps: Mapping[tuple[str, str], Difference | None]) -> list[harness.Bar]:
    """Lower ends of the intervals, which are to be above 0; owed with fewer than three seeds."""
    bars = []
    for suite in suites:
        for arm in SUITES[suite].arms[1:]:
            gap = gaps.get((suite, arm))
            low = None if gap is None or gap.num_seeds < FEWEST_SEEDS else gap.low
            name = f"{suite}: full less {arm}, lower end of 95%"
            bars.append(harness.Bar(name=name, value=low, bar=1e-9, better="higher"))
    return bars


def cells_table(found: Found, gaps: Mapping[tuple[str, str], Difference | None]) -> harness.TextTable:
    rows = []
    for (suite, arm), seeds in sorted(found.items(), key=lambda item: list(SUITES).index(item[0][0])):
        own = list(seeds.values())
        gap = gaps.get((suite, arm))
        steps = [_total(cell.facts["practice_steps"]) for cell in own]
        rows.append(
            (
                f"{suite}: {SUITES[suite].about}" if arm == FULL else "",
                arm,
                str(len(own)),
                f"{100 * np.mean([scored(found, cell) for cell in own]):.1f}",
                "-"
                if gap is None
                else f"{100 * gap.mean:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})",
                f"{np.mean([cell.total_secs for cell in own]):.0f}",
                f"{np.mean(steps):,.0f}",
            )
        )
    columns = ("suite", "arm", "seeds", "score %", "full less arm, points, 95%", "CPU s", "steps")
    return harness.TextTable(title="The whole against its parts", columns=columns, rows=tuple(rows))


def _total(steps: Any) -> int:
    return sum(steps.values()) if isinstance(steps, Mapping) else int(steps)


if __name__ == "__main__":
    main()
