"""Whether sleep makes a solver better over a life of days and nights.

Suite life: a stream of 4x4 and 6x6 sudokus from nothing, four nights of 10 CPU seconds, 10 CPU seconds of
practice before each. Arms: the whole; practice only, for the CPU time of days and nights together, in the
place of nights or all day between the same answers; nights without symmetries; replay of the most surprising
only; uniform replay; no learning; the whole with a transformer or an MLP in place of HRM; a teacher of whose
solutions 15% are wrong. Measured on held-out puzzles of both levels, in one pass of at most 16 segments; area
is the mean share over the CPU seconds of a life. About 100 CPU seconds a life; with --runs a finished life is
read from its file. With another number of --nights the bars are those of acceptance and forgetting, from one
seed on, and the result has a name of its own.

Suite reasoner: the same stream with practice alone, 80 CPU seconds, by HRM and by models without recurrence:
linear (two matrices over the same tokens), MLP and transformer, each in one segment an answer.

Suite tasks: 4x4 sudoku, 5x5 mazes and recolouring of a 6x6 grid, one after another in one small model on one
board, so that they share every weight. Arms: days that practise on the newest task alone ("naive"); such
days with nights; the whole, whose days go on practising what is remembered, with nights; all three tasks
every day ("joint"). Each has 90 CPU seconds of training a task. Shares of 200 held-out puzzles of each task
at the end.

Suite loops: the life of the arm "a whole" with two nets, by what practice and what a night trains: the L net
with the front and the heads, the H net, or both. Four combinations, no bar.

Suite self-teaching: real 9x9 sudokus of SAGE_DATA/sudoku/mix_train_1k.csv with the answers hidden, 333 a day,
16 model calls each; a night may spend 300 CPU seconds. Arms: search longer and train on what the rules
verified ("search"); train on what the days solved, with symmetries ("solved only") or with dark experience
replay ("DER++"); train on the answers of the file ("labelled", the ceiling); no sleep. Measured on rows 1 to
500 of mix_dev_2k.csv at 16 model calls; intervals of differences are over puzzles and seeds. Start: the first
shipped sudoku9 weights, kept as a file with this SHA-256, and today's. About 85 CPU minutes a seed and start;
with --runs a life continues where it ended, and with --known the lives of an earlier result are read from it.

Suite stream: the same puzzles from the first weights, 250 a day, four days, 16 model calls each, answers
hidden: the share that is solved awake, day by day. Arms: a night of 180 CPU seconds after each day but the
last, on what the days solved and the rules accepted, with symmetries ("nights") or without; the same training
awake, after each quarter of a day; no learning. All arms have the same puzzles on the same day. About 40 CPU
minutes a seed; with --runs a life continues after its last complete day.

Suite kills: a life at 20 Hz with a stream of 4x4 sudokus whose trainer's process is ended by kill -9 100
times: at random times, in nights, while it writes its weights, while it holds a loan or a lease. Phases with
kills and phases without alternate. Counted: what was acknowledged and is not on the disk, files that cannot
be read, ticks, and what is left after the life. At most 15 minutes.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import _life_arms as arms
import _life_kills as kills
import _life_kills_report as kills_report
import _life_report as report
import _life_stream as stream
import _life_tasks as tasks
import harness
from _life_teaching import ARMS, QUICK, RATES, Scale, keep_known
from _life_teaching_lives import Lives, data_folder
from _life_teaching_report import (
    against_no_sleep,
    bars_of,
    difference_table,
    differences,
    table,
)

from sage.hrm_core.tasks.sudoku.files import load_csv
from sage.hrm_core.tasks.sudoku.grid import box_of_size

FIXTURE = Path(__file__).parent / "fixtures" / "sudoku9_first"
FIXTURE_SHA256 = "cf36306225308e367f7acaef3e6cc36b417d06d0a92a57ae6ddc3a82b1137e06"
STARTS = {"first": str(FIXTURE), "shipped": "sudoku9"}
SUITES = ("life", "reasoner", "tasks", "loops", "self-teaching", "stream", "kills")


def check_fixture() -> None:
    """Raises ValueError if the first weights are not those that the suite names."""
    found = hashlib.sha256((FIXTURE / "model.safetensors").read_bytes()).hexdigest()
    if found != FIXTURE_SHA256:
        raise ValueError(
            f"{FIXTURE}: SHA-256 is {found}, expected {FIXTURE_SHA256}: check out the file again"
        )


def self_teaching(arguments: Any) -> None:
    if arguments.kept_only and not arguments.runs:
        raise SystemExit("--kept-only: give the folder of the lives with --runs")
    check_fixture()
    scale = QUICK if arguments.quick else replace(Scale(), nights=arguments.nights or Scale.nights)
    seeds = seeds_of(arguments, 3)
    names = ("search",) if arguments.quick else tuple((arguments.arms or ",".join(ARMS)).split(","))
    starts = ("first",) if arguments.quick else tuple(arguments.starts.split(","))
    tables, bars = [], []
    results: dict[str, Any] = {"scale": asdict(scale), "seeds": seeds}
    gaps: dict[str, dict[str, tuple[float, ...]]] = {}
    nights: dict[str, dict[str, tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as spare:
        root = arguments.runs if arguments.runs and not arguments.quick else Path(spare)
        for start in starts:
            if arguments.known:
                keep_known(json.loads(arguments.known.read_text())["results"], start, root / start, scale)
            lives = Lives(
                start,
                STARTS[start],
                root,
                scale,
                is_every_night=arguments.every_night,
                is_kept_only=arguments.kept_only,
            )
            lives.run(names, seeds)
            gaps[start] = differences(lives, names, seeds)
            nights[start] = against_no_sleep(lives, names, seeds)
            tables.append(table(lives, names, seeds))
            bars += bars_of(lives, gaps[start], seeds)
            results[start] = {
                "rate": RATES[start],
                "before": lives.before.to_plain(),
                "before_long": lives.before_long.to_plain(),
                "nights": {
                    f"{arm}, seed {seed}": [asdict(each) for each in found]
                    for (arm, seed), found in lives.nights.items()
                },
                "after": {
                    f"{arm}, seed {seed}, night {night}": each.to_plain()
                    for (arm, seed, night), each in lives.after.items()
                },
                "differences": gaps[start],
                "against_no_sleep": nights[start],
            }
    tables += [
        difference_table(gaps, "start", "search less"),
        difference_table(nights, "start", "less no sleep"),
        harness.bars_table(bars),
    ]
    whole = harness.document("life_self_teaching", results | {"calibration": harness.calibrate()}, bars)
    harness.finish(whole, tables, is_saved=arguments.save, notes=text_of(arguments.suite))


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--suite", choices=SUITES, default="life")
    parser.add_argument(
        "--seeds",
        type=harness.seeds_of,
        help="random seeds, separated by commas (0 to 4, self-teaching 0 to 2)",
    )
    parser.add_argument("--nights", type=int, help="nights of a life (4, self-teaching 3)")
    parser.add_argument("--runs", type=Path, help="folder of lives, to continue (default: none is kept)")
    parser.add_argument("--arms", help="names of the suite's arms, separated by commas (default: all)")
    parser.add_argument("--secs", type=float, help="CPU seconds of practice of the suite reasoner (80)")
    group = parser.add_argument_group("suite self-teaching")
    group.add_argument("--starts", default=",".join(STARTS), help=f"of {', '.join(STARTS)}")
    group.add_argument("--known", type=Path, help="earlier result (JSON) whose lives are not lived again")
    group.add_argument(
        "--every-night",
        action="store_true",
        help="measure after each night, not after the last alone (25 CPU minutes more a seed and start)",
    )
    group.add_argument(
        "--kept-only", action="store_true", help="report the complete lives of --runs, and go on with none"
    )
    arguments = parser.parse_args()
    suites = {
        "life": whole_life,
        "reasoner": reasoners,
        "tasks": three_tasks,
        "loops": loops,
        "self-teaching": self_teaching,
        "stream": real_stream,
        "kills": killed_life,
    }
    suite = suites[arguments.suite]
    suite(arguments)


def text_of(suite: str) -> str:
    """What this module's text says of a suite, for its result."""
    return (__doc__ or "").partition(f"Suite {suite}: ")[2].partition("\n\nSuite ")[0]


def seeds_of(arguments: Any, num: int) -> tuple[int, ...]:
    if arguments.quick:
        return (0,)
    return tuple(range(num)) if arguments.seeds is None else tuple(arguments.seeds)


def whole_life(arguments: Any) -> None:
    lives, scale, seeds = nights_of(arms.ARMS, arguments)
    if arguments.quick or scale.nights == arms.Scale().nights:
        write(arguments, "life", lives, scale, seeds, report.life_bars(lives))
    else:
        name = f"life_{scale.nights}_nights"
        write(arguments, name, lives, scale, seeds, report.acceptance_bars(lives, 1))


def loops(arguments: Any) -> None:
    lives, scale, seeds = nights_of(arms.LOOP_ARMS, arguments)
    write(arguments, "life_loops", lives, scale, seeds, [])


def killed_life(arguments: Any) -> None:
    scale = kills.QUICK if arguments.quick else kills.Scale()
    with tempfile.TemporaryDirectory() as folder:
        life = kills.live(Path(folder), scale)
    bars = kills_report.bars(life, scale)
    results = {
        "scale": asdict(scale),
        **kills_report.plain(life),
        "delay_secs": kills.DELAY_SECS,
        "calibration": harness.calibrate(),
    }
    tables = [*kills_report.tables(life), harness.bars_table(bars)]
    whole = harness.document("life_kills", results, bars)
    harness.finish(whole, tables, is_saved=arguments.save, notes=text_of(arguments.suite))


def nights_of(
    chosen: Sequence[arms.Arm], arguments: Any
) -> tuple[dict[str, list[arms.Lived]], arms.Scale, tuple[int, ...]]:
    """Lives with nights, their scale and their seeds."""
    scale = arms.QUICK if arguments.quick else arms.Scale()
    if arguments.nights is not None and not arguments.quick:
        scale = replace(scale, nights=arguments.nights)
    seeds = seeds_of(arguments, 5)
    return run_lives(chosen, seeds, scale, arguments), scale, seeds


def write(
    arguments: Any,
    name: str,
    lives: dict[str, list[arms.Lived]],
    scale: arms.Scale,
    seeds: Sequence[int],
    bars: list[harness.Bar],
) -> None:
    """Print tables and the document; save them if asked."""
    results = {
        "scale": asdict(scale),
        "seeds": seeds,
        "lives": {arm: [each.to_plain() for each in found] for arm, found in lives.items()},
        "calibration": harness.calibrate(),
    }
    sleepers = [found for found in lives.values() if found and found[0].nights][:1]
    tables = [report.life_table(lives), report.differences_table(lives)]
    tables += map(report.nights_table, sleepers)
    tables += [harness.bars_table(bars)] if bars else []
    whole = harness.document(name, results, bars)
    harness.finish(whole, tables, is_saved=arguments.save, notes=text_of(arguments.suite))


def run_lives(
    chosen: Sequence[arms.Arm], seeds: Sequence[int], scale: arms.Scale, arguments: Any
) -> dict[str, list[arms.Lived]]:
    """Lives by the arm's name. SystemExit for a name that the suite has not."""
    wanted = wanted_of([each.name for each in chosen], arguments)
    folder = None if arguments.quick else arguments.runs
    lives: dict[str, list[arms.Lived]] = {}
    for seed in seeds:
        for arm in chosen:
            if arm.name not in wanted:
                continue
            last = arms.lived(arm, seed, scale, folder)
            lives.setdefault(arm.name, []).append(last)
            print(f"{arm.name}, seed {seed}: {last.final}, area {last.area:.3f}", file=sys.stderr, flush=True)
    return lives


def wanted_of(names: Sequence[str], arguments: Any) -> Sequence[str]:
    """Names of the arms to run. SystemExit for a name that the suite has not."""
    wanted = names if arguments.arms is None else arguments.arms.split(",")
    if unknown := set(wanted) - set(names):
        raise SystemExit(f"--arms: {min(unknown)} is unknown: give some of {', '.join(names)}")
    return wanted


def three_tasks(arguments: Any) -> None:
    scale = tasks.QUICK if arguments.quick else tasks.Scale()
    seeds = seeds_of(arguments, 3)
    wanted = wanted_of([arm.name for arm in tasks.ARMS], arguments)
    folder = None if arguments.quick else arguments.runs
    found = tasks.Results()
    for seed in seeds:
        for arm in tasks.ARMS:
            if arm.name in wanted:
                result = tasks.result_of(arm, seed, scale, folder)
                found.found.setdefault(arm.name, []).append(result)
                print(f"{arm.name}, seed {seed}: {result.solved[-1]}", file=sys.stderr, flush=True)
    bars = found.bars()
    results = {"scale": asdict(scale), "seeds": seeds, "arms": found.to_plain()}
    whole = harness.document("life_tasks", results | {"calibration": harness.calibrate()}, bars)
    tables = [found.table(), harness.bars_table(bars)]
    harness.finish(whole, tables, is_saved=arguments.save, notes=text_of(arguments.suite))


def real_stream(arguments: Any) -> None:
    check_fixture()
    scale = stream.QUICK if arguments.quick else stream.Scale()
    seeds = seeds_of(arguments, 3)
    names = wanted_of(stream.ARMS, arguments)
    puzzles = load_csv(data_folder() / "mix_train_1k.csv", box_of_size(9))
    with tempfile.TemporaryDirectory() as spare:
        root = arguments.runs if arguments.runs and not arguments.quick else Path(spare)
        found = stream.run(str(FIXTURE), puzzles, root, names, seeds, scale)
    bars = stream.bars(found, scale.days)
    results = {"scale": asdict(scale), "seeds": seeds, "lives": stream.to_plain(found)}
    tables = [stream.day_table(found, names, scale.days), stream.gap_table(found, names, scale.days)]
    whole = harness.document("life_stream", results | {"calibration": harness.calibrate()}, bars)
    harness.finish(
        whole, [*tables, harness.bars_table(bars)], is_saved=arguments.save, notes=text_of("stream")
    )


def reasoners(arguments: Any) -> None:
    scale = arms.REASONER_SCALE
    if arguments.secs is not None:
        scale = replace(scale, day_secs=arguments.secs, num_points=max(1, round(arguments.secs / 10)))
    if arguments.quick:
        scale = replace(scale, day_secs=2.0, num_eval=8, num_points=1)
    seeds = seeds_of(arguments, 5)
    lives = run_lives(arms.REASONER_ARMS, seeds, scale, arguments)
    write(arguments, "life_reasoner", lives, scale, seeds, report.reasoner_bars(lives))


if __name__ == "__main__":
    main()
