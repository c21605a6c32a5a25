"""Puzzles a second of each generator on one core, and the cost of compiling it the first time.

Rates are in CPU time, median of five. The bar on mazes is 840 a minute from Maze-Hard's distribution; the
bars on sudoku are the rates at which the training of small models never waits for rows.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import harness
import numpy as np

from sage.hrm_core.tasks.catalogue import make_task

KINDS: dict[str, tuple[str, dict[str, Any], int, float | None]] = {
    "sudoku 4x4": ("sudoku", {"size": 4}, 2048, 2000.0),
    "sudoku 6x6": ("sudoku", {"size": 6}, 1024, 2000.0),
    "sudoku 9x9, 36 to 50 givens": ("sudoku", {"size": 9}, 512, 300.0),
    "sudoku 9x9, 22 to 28 givens": ("sudoku", {"size": 9, "givens": (22, 28)}, 64, None),
    "maze 10x10 medium": ("maze", {"size": 10, "difficulty": "medium"}, 512, None),
    "maze 30x30 hard": ("maze", {}, 100, 14.0),
    "patterns": ("patterns", {}, 4096, None),
    "sat, 20 variables": ("sat", {"variables": 20, "clauses": 91}, 512, None),
    "colouring, 8 vertices": ("colouring", {}, 2048, None),
    "brackets": ("brackets", {}, 512, None),
}
ROUNDS = 5
COLD = (
    "import numpy; from sage.hrm_core.tasks.catalogue import make_task as m; r ="
    " numpy.random.default_rng(0); "
)
COLD += (
    "import time; import numba; t = time.process_time(); m('{kind}', **{options}).sample(1, r);"
    " print(time.process_time() - t)"
)
COLD_BAR_SECS = 5.0


def rate(kind: str, options: dict[str, Any], num: int) -> float:
    """Puzzles a CPU second, after the first batch."""
    task, rng = make_task(kind, **options), np.random.default_rng(0)
    task.sample(1, rng)
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        task.sample(num, rng)
        rounds.append(num / max(time.process_time() - started, 1e-9))
    return statistics.median(rounds)


def cold_secs(kind: str, options: dict[str, Any]) -> float:
    """CPU seconds to the first puzzle in a process that finds no compiled kernels, numba's own import left
    out.
    """
    with tempfile.TemporaryDirectory() as cache:
        code = COLD.format(kind=kind, options=options)
        environment = {"NUMBA_CACHE_DIR": cache, "PATH": "/usr/bin:/bin", "HOME": cache}
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
        )
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    scale = 4 if arguments.quick else 1
    rates = {
        name: rate(kind, options, max(8, num // scale)) for name, (kind, options, num, _) in KINDS.items()
    }
    cold = {
        "sudoku": cold_secs("sudoku", {"size": 4}),
        "maze": cold_secs("maze", {"size": 8, "difficulty": "easy"}),
    }
    bars = [
        harness.Bar(name=f"{name}, a second", value=rates[name], bar=bar, better="higher")
        for name, (*_, bar) in KINDS.items()
        if bar is not None
    ]
    bars.append(
        harness.Bar(
            name="cold compile of all, CPU seconds",
            value=sum(cold.values()),
            bar=COLD_BAR_SECS,
            better="lower",
        )
    )
    results = {
        "puzzles_per_cpu_sec": rates,
        "cold_compile_cpu_secs": cold,
        "calibration": harness.calibrate(),
    }
    whole = harness.document("generators", results, bars, peers=("numba",))
    rows = tuple((name, f"{each:.0f}") for name, each in rates.items())
    table = harness.TextTable(title="Fresh puzzles", columns=("task", "a CPU second"), rows=rows)
    harness.finish(whole, [table, harness.bars_table(bars)], is_saved=arguments.save)


if __name__ == "__main__":
    main()
