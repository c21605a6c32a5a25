"""Soak: a session for up to a million ticks with faults all the time, and a state directory that is written
while its process is killed, again and again.

The suite `ticks` runs a session with the tiny preset and nothing drawn or rendered, with all built-in sources
and environments that need no device and no other program (`groot`, `remote` and `totality` do), on one state
directory. On a manual clock the models of the puzzles learn in one tick of 32. Three lives in four run on a
manual clock, in one process. A seeded plan has faults of sources (frozen, flooding, raising, wrong shapes,
NaN, old readings), steps of the loop's clock and of the wall clock, full disks (a limit on the size of files,
so that every write fails), and a kill (SIGKILL) at a random tick; the next process resumes. One life in four
runs on the real clock: isolated sensors, environments, the trainer and nights are processes, which are killed
at random too, one at a time; each death must be counted by the session within 60 s. Nothing that was
acknowledged may be missing, nothing may be damaged, no process may stay after its session, and no shared
mailbox after the next start. Slopes of resident memory, of the bytes of the C library's heap in use, of
descriptors and threads are Theil-Sen's, of pairs of samples within one life after its first 10,000 ticks
(3,000 in a run of at most 30 minutes without --state), per 10,000 ticks, with 95% intervals. With
`--state DIR` a later call continues. With `--parts N` N state directories, each with a seed of its own, have
their share of the ticks at the same time, one core each.

The suite `kills` starts a process that writes everything a session writes, as fast as it can: the loop with
snapshots, journal of experiences and metrics store; the audit log; a Totality folder; the store of a puzzle
trainer. It is killed (SIGKILL) at a random time, at most 0.6 s after it has recovered, one in five after its
start, so that some are killed while they recover. The next process recovers, reports what it found, and
writes on. Nothing that was acknowledged may be missing, nothing may be damaged, and memory has the same
content as after the same journal row before the kill, where the kill left that row as the newest one.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import harness
from _soak_kills import kills
from _soak_ticks import WARM_TICKS, SoakPlan, soak_side_by_side

NUM_TICKS = 1_000_000
#: A life's length, on average: of a run of hours, of one of minutes, and of a quick one.
TICKS_A_KILL, FEW_TICKS_A_KILL, QUICK_TICKS_A_KILL = 15_000, 5_000, 60
#: Ticks at the start of a life that are left out of slopes, in a short run.
FEW_WARM_TICKS = 3_000
SHORT_MINUTES, QUICK_MINUTES = 30.0, 0.4
NUM_KILLS, NUM_QUICK_KILLS = 500, 12
#: Pairs of samples that a slope needs to be compared: the interval of fewer contains 0 too easily.
MIN_PAIRS = 1_000


def run_kill_suite(arguments: argparse.Namespace) -> None:
    num = NUM_QUICK_KILLS if arguments.quick else arguments.kills
    with tempfile.TemporaryDirectory(prefix="sage-soak-") as folder:
        found = kills(Path(folder) / "state", num, seed=arguments.seed)
    bars = kill_bars(found)
    results = {"suite": "kills", "seed": arguments.seed, **found}
    tables = [kill_table(found), harness.bars_table(bars)]
    notes = (__doc__ or "").partition("\n\n")[2]
    document = harness.document("soak_kills", results, bars)
    harness.finish(document, tables, is_saved=arguments.save, notes=notes)


def run_tick_suite(arguments: argparse.Namespace) -> None:
    minutes = QUICK_MINUTES if arguments.quick else arguments.minutes
    is_long = minutes > SHORT_MINUTES or arguments.state is not None  # a piece of a long run may be short
    kills_at = TICKS_A_KILL if is_long else FEW_TICKS_A_KILL
    plan = SoakPlan(
        ticks=arguments.ticks,
        minutes=minutes,
        ticks_a_kill=QUICK_TICKS_A_KILL if arguments.quick else kills_at,
        seed=arguments.seed,
        warm_ticks=WARM_TICKS if is_long else FEW_WARM_TICKS,
    )
    with tempfile.TemporaryDirectory(prefix="sage-soak-") as folder:
        found = soak_side_by_side(arguments.state or Path(folder), plan, arguments.parts)
    samples = found.pop("samples")
    bars = tick_bars(found)
    results = {"suite": "ticks", "ticks_a_kill": plan.ticks_a_kill, "num_samples": len(samples), **found}
    tables = [tick_table(found), slope_table(found), harness.bars_table(bars)]
    notes = (__doc__ or "").partition("\n\n")[2]
    harness.finish(harness.document("soak", results, bars), tables, is_saved=arguments.save, notes=notes)


def tick_bars(found: dict[str, Any]) -> list[harness.Bar]:
    """Growth counts where its interval is above 0: its lower end is what is compared; owed of few pairs."""
    wanted = harness.Bar(name="ticks", value=float(found["ticks"]), bar=float(NUM_TICKS), better="higher")
    lost = float(len(found["problems"]))
    bars = [wanted, harness.Bar(name="losses and damaged files", value=lost, bar=0.0, better="lower")]
    killed = sum(num for name, num in found["counts"].items() if name.startswith("killed: "))
    missed = float(sum("was not counted" in problem for problem in found["problems"]))
    name = "deaths of processes that were not counted"
    bars.append(harness.Bar(name=name, value=missed if killed else None, bar=0.0, better="lower"))
    for name, slope in found["slopes"].items():
        label = f"growth of {name.replace('_', ' ')}, lower end of the interval"
        low = slope["low"] if slope["num_pairs"] >= MIN_PAIRS else None
        bars.append(harness.Bar(name=label, value=low, bar=0.0, better="lower"))
    return bars


def tick_table(found: dict[str, Any]) -> harness.TextTable:
    rows = [("ticks", f"{found['ticks']:,}"), ("lives", f"{found['lives']:,}")]
    rows.append(("state directories", f"{found['parts']:,}"))
    rows += [(name, f"{num:,}") for name, num in sorted(found["counts"].items())]
    rows.append(("rows of memory that one kill lost, at most", f"{found['most_unwritten']:,}"))
    rows.append(("losses and damaged files", f"{len(found['problems']):,}"))
    return harness.TextTable(title="Ticks under faults", columns=("", ""), rows=tuple(rows))


def slope_table(found: dict[str, Any]) -> harness.TextTable:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:+,.1f}"

    rows = tuple(
        (name.replace("_", " "), *(shown(slope[key]) for key in ("median", "low", "high")))
        for name, slope in found["slopes"].items()
    )
    columns = ("", "slope", "from", "to (95%)")
    return harness.TextTable(title="Growth per 10,000 ticks", columns=columns, rows=rows)


def kill_bars(found: dict[str, Any]) -> list[harness.Bar]:
    return [
        harness.Bar(name="kills", value=float(found["num_kills"]), bar=float(NUM_KILLS), better="higher"),
        harness.Bar(
            name="losses and damaged files", value=float(found["num_problems"]), bar=0.0, better="lower"
        ),
    ]


def kill_table(found: dict[str, Any]) -> harness.TextTable:
    rows = (
        ("kills", f"{found['num_kills']:,}"),
        ("of these before the process had recovered", f"{found['killed_while_recovering']:,}"),
        ("restarts that recovered", f"{found['recoveries']:,}"),
        ("restarts from a snapshot", f"{found['with_snapshot']:,}"),
        ("restarts with later rows of the journal", f"{found['with_journal_rows']:,}"),
        ("restarts whose memory was compared value by value", f"{found['memories_compared']:,}"),
        ("experiences acknowledged", f"{found['acknowledged']['memory']:,}"),
        ("puzzles acknowledged", f"{found['acknowledged']['trainer']:,}"),
        ("rows of the audit log", f"{found['acknowledged']['audit']:,}"),
        ("losses and damaged files", f"{found['num_problems']:,}"),
    )
    return harness.TextTable(title="SIGKILL while a state directory is written", columns=("", ""), rows=rows)


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--suite", default="ticks", choices=("ticks", "kills"), help="which suite")
    parser.add_argument("--ticks", type=int, default=NUM_TICKS, help="number of ticks in all (suite ticks)")
    parser.add_argument("--minutes", type=float, default=110.0, help="of this call (suite ticks)")
    parser.add_argument("--state", type=Path, help="folder that a later call continues from (suite ticks)")
    parser.add_argument("--parts", type=int, default=1, help="state directories side by side (suite ticks)")
    parser.add_argument("--kills", type=int, default=NUM_KILLS, help="number of kills (suite kills)")
    parser.add_argument("--seed", type=int, default=0, help="of the plan of faults")
    arguments = parser.parse_args()
    if arguments.parts < 1:
        parser.error(f"--parts is {arguments.parts}: give 1 or more")
    (run_tick_suite if arguments.suite == "ticks" else run_kill_suite)(arguments)


if __name__ == "__main__":
    main()
