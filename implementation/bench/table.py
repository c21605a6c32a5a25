"""Tables cleared of 100 by a trained planner, beside breadth-first search, greedy and a linear readout.

Scenes are those of the environment `table` with its defaults: five to eight objects, one buffer, each scene
needing it; 5% of moves slip, and after 5% the scene changes, so that a plan has to be made again. A scene is
finished when every object is at its goal. The model is the recipe `table`, trained for each seed or read from
--runs; it plans in one pass, and nothing checks a plan before the arm executes it. The column with the
checker gives it further tries until the task's rules accept a plan; so does, in place of tries, a search over
first moves, which the rules limit to those that may be made. The linear readout, least squares on the
same scenes, stands for an action head without recurrence. The bars are on the means over five seeds, and
owed with fewer. CPU seconds are those of the planner alone, scenes planned together. Where mujoco is
installed, the arm of the environment `mujoco` executes plans of fewer scenes: it picks and places cubes by a
scripted controller, not a learned one; 5% of its grasps fail, which ends a plan, and an object in another
one's way lies upon it.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import harness
from _table_planners import breadth_first, greedy, linear, model_planners
from _table_worlds import Cleared, clear_tables
from _training_runs import Run, has_ended, read_run, run_folder, train_once

from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.table.task import TableTask

RECIPE = "table"
QUICK = ("--steps", "20", "--batch-size", "8", "--set", "train.eval_examples=16")
NUM_SCENES, NUM_LINEAR, ALL_SEEDS = 100, 10_000, 5
#: Scenes of a seed with the simulated arm: about 0.6 CPU s each.
NUM_MUJOCO = 20
NEAR_SEARCH, ABOVE_GREEDY = -0.05, 0.20
IN_MUJOCO = "scenes that the simulated arm clears (MuJoCo)"
HRM, SEARCH, GREEDY = "HRM", "breadth-first search", "greedy"


def measure(folder: Path, seed: int, *, num: int, num_linear: int) -> list[Cleared]:
    """Every planner on the same scenes."""
    task = make_task("table")
    assert isinstance(task, TableTask)
    planners = {
        **model_planners(folder / "model", task),
        SEARCH: breadth_first(task),
        GREEDY: greedy(task),
        "linear readout": linear(task, num=num_linear, seed=seed),
    }
    return [clear_tables(name, planner, num=num, seed=seed) for name, planner in planners.items()]


def measure_mujoco(folder: Path, seed: int, *, num: int) -> list[Cleared]:
    """The model alone, breadth-first search and greedy, with the simulated arm. Empty without mujoco."""
    if find_spec("mujoco") is None:
        return []
    task = make_task("table")
    assert isinstance(task, TableTask)
    planners = {
        HRM: model_planners(folder / "model", task)[HRM],
        SEARCH: breadth_first(task),
        GREEDY: greedy(task),
    }
    return [
        clear_tables(name, planner, num=num, seed=seed, executor="mujoco")
        for name, planner in planners.items()
    ]


def _as_row(cleared: Cleared) -> dict[str, Any]:
    return asdict(cleared) | {"share": cleared.share, "cpu_a_plan": cleared.cpu_a_plan}


def mean_share(found: Sequence[Cleared], planner: str) -> float:
    return statistics.mean(each.share for each in found if each.planner == planner)


def bars_of(found: Sequence[Cleared], runs: Sequence[Run]) -> list[harness.Bar]:
    """Owed with fewer than five seeds."""
    is_owed = len({each.seed for each in found}) < ALL_SEEDS
    near = None if is_owed else mean_share(found, HRM) - mean_share(found, SEARCH)
    above = None if is_owed else mean_share(found, HRM) - mean_share(found, GREEDY)
    cpu_secs = None if is_owed else max(run.cpu_secs for run in runs)
    return [
        harness.Bar(name="tables cleared: HRM less search", value=near, bar=NEAR_SEARCH, better="higher"),
        harness.Bar(name="tables cleared: HRM less greedy", value=above, bar=ABOVE_GREEDY, better="higher"),
        harness.Bar(name="CPU seconds of training, the most", value=cpu_secs, bar=480.0, better="lower"),
    ]


def planners_table(found: Sequence[Cleared], where: str = "the same scenes") -> harness.TextTable:
    """Means over the seeds, and the least and the most tables cleared."""
    rows = []
    for planner in dict.fromkeys(each.planner for each in found):
        own = [each for each in found if each.planner == planner]
        shares = [100 * each.share for each in own]
        num_plans = sum(each.plans for each in own)
        rows.append(
            (
                planner,
                f"{sum(each.finished for each in own)} of {sum(each.scenes for each in own)}",
                f"{statistics.mean(shares):.1f} ({min(shares):.0f} to {max(shares):.0f})",
                f"{100 * sum(each.right for each in own) / num_plans:.1f}",
                f"{statistics.mean(each.replans for each in own):.1f}",
                f"{statistics.mean(each.changes for each in own):.1f}",
                f"{statistics.mean(each.refused for each in own):.1f}",
                f"{1000 * sum(each.cpu_secs for each in own) / num_plans:.2f}",
            )
        )
    seeds = len({each.seed for each in found})
    columns = (
        "planner",
        "cleared",
        "% tables cleared",
        "% plans right",
        "replans",
        "changed scenes",
        "moves refused",
        "CPU ms a plan",
    )
    return harness.TextTable(title=f"Planners on {where}, seeds: {seeds}", columns=columns, rows=tuple(rows))


def runs_table(runs: Sequence[Run]) -> harness.TextTable:
    rows = tuple(
        (
            str(run.seed),
            f"{run.num_parameters:,}",
            f"{run.steps:,}",
            f"{run.cpu_secs:.0f}",
            ", ".join(f"{segments}: {100 * share:.1f}" for segments, share in run.valid.items()),
            f"{100 * run.baseline:.1f}",
        )
        for run in runs
    )
    columns = ("seed", "parameters", "steps", "CPU s", "% held-out plans right, by segments", "% greedy")
    return harness.TextTable(title="The recipe `table`", columns=columns, rows=rows)


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument(
        "--runs", type=Path, help="folder of runs, each table-SEED (default: a temporary folder)"
    )
    parser.add_argument("--seeds", default="0,1,2,3,4", help="random seeds, separated by commas")
    parser.add_argument("--found", action="store_true", help="read existing runs only; train none")
    arguments = parser.parse_args()
    seeds = (0,) if arguments.quick else tuple(map(int, arguments.seeds.split(",")))
    num, num_linear, num_mujoco = (8, 200, 2) if arguments.quick else (NUM_SCENES, NUM_LINEAR, NUM_MUJOCO)
    found: list[Cleared] = []
    executed: list[Cleared] = []
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as spare:
        root = arguments.runs if arguments.runs and not arguments.quick else Path(spare)
        for seed in seeds:
            folder = run_folder(root, RECIPE, seed)
            if not has_ended(folder):
                if arguments.found:
                    continue
                train_once(folder, RECIPE, seed, QUICK if arguments.quick else ())
            runs.append(read_run(folder, RECIPE, seed))
            found += measure(folder, seed, num=num, num_linear=num_linear)
            executed += measure_mujoco(folder, seed, num=num_mujoco)
    if not found:
        raise SystemExit(f"no run of {RECIPE} in {arguments.runs}: leave out --found")
    bars = bars_of(found, runs)
    results: dict[str, Any] = {
        "planners": [_as_row(each) for each in found],
        "mujoco": [_as_row(each) for each in executed],
        "runs": [asdict(run) | {"model": str(run.model.parent.name)} for run in runs],
        "calibration": harness.calibrate(),
    }
    whole = harness.document("table", results, bars, peers=("numba",))
    tables = [
        planners_table(found),
        planners_table(executed, IN_MUJOCO),
        runs_table(runs),
        harness.bars_table(bars),
    ]
    harness.finish(whole, tables, is_saved=arguments.save, notes=(__doc__ or "").partition("\n\n")[2])


if __name__ == "__main__":
    main()
