"""How long a person waits for `import sage` and `sage --help`, beside what Python and typer alone cost in the same run.

Every round starts one fresh process of each, interleaved, so that a busy moment of the machine strikes all alike.
The bar, 0.3 s each, is on CPU time (user and system, of the process and its children), median over the rounds; wall time
stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

BAR_SECS = 0.3
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import typer": [sys.executable, "-c", "import typer"],
    "import sage": [sys.executable, "-c", "import sage"],
    "sage --help": [str(Path(sys.executable).with_name("sage")), "--help"],
    "sage config check": [str(Path(sys.executable).with_name("sage")), "config", "check"],
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five rounds instead of fifteen")
    arguments = parser.parse_args()
    starts = measure(5 if arguments.quick else 15)
    cpu = {name: statistics.median(start.cpu_secs for start in each) for name, each in starts.items()}
    wall = {name: statistics.median(start.wall_secs for start in each) for name, each in starts.items()}
    for name in COMMANDS:
        print(f"{name:20} cpu {cpu[name]:.3f} s   wall {wall[name]:.3f} s")
    document = {
        "bench": "startup",
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version()},
        "results": {
            name: {"n": len(each), "cpu_p50_secs": cpu[name], "wall_p50_secs": wall[name]} for name, each in starts.items()
        },
        "bars": [
            {"name": f"{name}, CPU seconds", "value": cpu[name], "bar": BAR_SECS, "better": "lower", "met": cpu[name] < BAR_SECS}
            for name in BARRED
        ],
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
