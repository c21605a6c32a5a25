"""A state directory that is written while its process is killed, again and again: what is lost or damaged.

The suite `kills` starts a process that writes everything a session writes, as fast as it can: the loop with
snapshots, journal of experiences and metrics store; the audit log; a Totality folder; the store of a puzzle
trainer. It is killed (SIGKILL) at a random time, at most 0.6 s after it has recovered, one in five after
its start, so that some are killed while they recover. The next process recovers, reports what it found, and
writes on. Nothing that was acknowledged
may be missing, nothing may be damaged, and memory has the same content as after the same journal row before
the kill, where the kill left that row as the newest one.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import harness
from _soak_kills import kills

NUM_KILLS, NUM_QUICK_KILLS = 500, 12


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
    parser.add_argument("--suite", default="kills", choices=("kills",), help="which suite")
    parser.add_argument("--kills", type=int, default=NUM_KILLS, help="number of kills (suite kills)")
    parser.add_argument("--seed", type=int, default=0, help="of the times of the faults")
    arguments = parser.parse_args()
    run_kill_suite(arguments)


if __name__ == "__main__":
    main()
