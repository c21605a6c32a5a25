"""Time from the shell: `import sage`, `sage --help` and a cold `sage solve`, beside Python, typer and torch.

Every round starts one new process of each, interleaved, so that other load affects all alike. The bar of
`import sage` and `sage --help`, 0.3 s each, is on CPU time (user and system, of the process and its
children), median over the rounds; wall time is shown beside it. The bar of `sage solve` is on its wall time
over that of `import torch`: the median over the rounds of the ratio within a round.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import harness

BAR_SECS = 0.3
SOLVE_BAR = 1.3
#: The 9x9 sudoku of Wikipedia's article.
PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
IMPORT_TORCH, SOLVE = "import torch", "sage solve sudoku"
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import typer": [sys.executable, "-c", "import typer"],
    "import sage": [sys.executable, "-c", "import sage"],
    "sage --help": [str(Path(sys.executable).with_name("sage")), "--help"],
    "sage config check": [str(Path(sys.executable).with_name("sage")), "config", "check"],
    IMPORT_TORCH: [sys.executable, "-c", "import torch"],
    SOLVE: [str(Path(sys.executable).with_name("sage")), "solve", "sudoku", PUZZLE],
}
BARRED = ("import sage", "sage --help")


@dataclass(frozen=True)
class Start:
    """One process, from start to exit."""

    cpu_secs: float
    wall_secs: float


def start_once(command: list[str]) -> Start:
    before, started = _children_cpu_secs(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Start(cpu_secs=_children_cpu_secs() - before, wall_secs=time.perf_counter() - started)


def _children_cpu_secs() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(num_rounds: int) -> dict[str, list[Start]]:
    """Each command once a round; a first round warms the page cache and is thrown away."""
    starts: dict[str, list[Start]] = {name: [] for name in COMMANDS}
    for round_index in range(num_rounds + 1):
        for name, command in COMMANDS.items():
            start = start_once(command)
            if round_index:
                starts[name].append(start)
    return starts


def ratio(of: list[Start], over: list[Start], clock: Literal["cpu_secs", "wall_secs"]) -> float:
    """The median over the rounds of the ratio within a round."""
    return statistics.median(getattr(ours, clock) / getattr(theirs, clock) for ours, theirs in zip(of, over))


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    starts = measure(5 if arguments.quick else 15)
    cpu = {name: statistics.median(start.cpu_secs for start in each) for name, each in starts.items()}
    wall = {name: statistics.median(start.wall_secs for start in each) for name, each in starts.items()}
    results: dict[str, object] = {
        name: {
            "n": len(each),
            "cpu_p50_secs": cpu[name],
            "wall_p50_secs": wall[name],
            "ratio_to_python": cpu[name] / cpu["python -c pass"],
        }
        for name, each in starts.items()
    }
    bars = [
        harness.Bar(name=f"{name}, CPU seconds", value=cpu[name], bar=BAR_SECS, better="lower")
        for name in BARRED
    ]
    solve = {clock: ratio(starts[SOLVE], starts[IMPORT_TORCH], clock) for clock in ("wall_secs", "cpu_secs")}
    bars.append(
        harness.Bar(
            name=f"{SOLVE}, wall time over {IMPORT_TORCH}",
            value=solve["wall_secs"],
            bar=SOLVE_BAR,
            better="lower",
        )
    )
    results["solve_over_import_torch"] = solve
    whole = harness.document(
        "startup", results | {"calibration": harness.calibrate()}, bars, peers=("typer", "pydantic")
    )
    rows = tuple(
        (name, f"{cpu[name]:.3f}", f"{wall[name]:.3f}", f"{cpu[name] / cpu['python -c pass']:.1f}")
        for name in COMMANDS
    )
    table = harness.TextTable(
        title="Median start to exit", columns=("command", "CPU s", "wall s", "x python"), rows=rows
    )
    ratios = harness.TextTable(
        title=f"{SOLVE} over {IMPORT_TORCH}, in the same round, median",
        columns=("wall", "CPU"),
        rows=((f"{solve['wall_secs']:.2f}", f"{solve['cpu_secs']:.2f}"),),
    )
    harness.finish(whole, [table, ratios, harness.bars_table(bars)], is_saved=arguments.save)


if __name__ == "__main__":
    main()
