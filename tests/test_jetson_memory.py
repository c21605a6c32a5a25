"""The configuration of a Jetson with 8 GB, run on a processor with a cap on memory."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

CAP_BYTES, BUDGET_BYTES = 8 << 30, 6 << 30
#: The first night begins after 240 s, or 240 s later where there is too little to examine; it takes a minute
#: of one core. A loaded machine takes longer.
NIGHT_SECS = 900
VERDICTS = ("accepted", "rolled_back", "undecided")
#: A word of the command line, by kind of process.
KINDS = {"trainer": "sage.runtime.sleep.puzzles.process.worker", "night": "sleep"}


def resident_bytes(process: psutil.Process) -> dict[str, int]:
    """Of a process ("loop") and of those that it started, by kind; shared pages count for each. Empty while
    one of them ends.
    """
    try:
        found = {"loop": process.memory_info().rss}
        for child in process.children(recursive=True):
            words = child.cmdline()
            kind = next((kind for kind, word in KINDS.items() if word in words), "other")
            found[kind] = found.get(kind, 0) + child.memory_info().rss
    except psutil.Error:
        return {}
    return found


def run_capped(
    folder: Path, *options: str, timeout_secs: float, until: Callable[[], bool] = lambda: False
) -> tuple[dict[str, Any], list[dict[str, int]]]:
    """The JSON document of a run of the configuration, and its resident bytes every 0.2 s.

    until: the run is asked to stop when this is true.
    """

    def cap() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (CAP_BYTES, CAP_BYTES))  # its processes have the same cap

    command = [sys.executable, "-m", "sage", "run", "jetson", "--json", *options]
    running = subprocess.Popen(
        [*command, "--state-dir", str(folder / "state")],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=(folder / "log").open("w"),
        text=True,
        preexec_fn=cap,
    )
    process, has_ended = psutil.Process(running.pid), threading.Event()
    seen: list[dict[str, int]] = []

    def watch() -> None:
        while not has_ended.wait(0.2):
            seen.append(resident_bytes(process))
            if until():
                running.terminate()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        out, _ = running.communicate(timeout=timeout_secs)
    finally:
        has_ended.set()
        watcher.join()
        running.kill()
    assert running.returncode == 0, (folder / "log").read_text()[-2000:]
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found, seen


def assert_within_budget(seen: list[dict[str, int]]) -> None:
    peak_bytes = max(sum(each.values()) for each in seen)
    assert 0 < peak_bytes <= BUDGET_BYTES, f"{peak_bytes / (1 << 30):.2f} GiB"


@pytest.mark.slow
def test_a_run_with_its_trainer_stays_within_its_budget(tmp_path: Path) -> None:
    document, seen = run_capped(tmp_path, "--seconds", "30", timeout_secs=280)
    assert document["ended_by"] == "time"
    assert any("trainer" in each for each in seen), "the trainer has a process of its own"
    assert_within_budget(seen)


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_a_night_beside_loop_and_trainer_stays_within_the_budget(tmp_path: Path) -> None:
    """As configured, up to the verdict on a night of the readings' model, which has a process of its own. A
    night of the puzzles' model, which the trainer does, does not count.
    """
    store = tmp_path / "state" / "store.sqlite"
    nights: list[tuple[str, str, int]] = []

    def has_verdict() -> bool:
        if store.exists():
            query = "SELECT outcome, reason, num_steps FROM sleeps WHERE stream = ''"
            with closing(sqlite3.connect(store)) as connection, suppress(sqlite3.OperationalError):
                nights[:] = connection.execute(query).fetchall()
        return any(outcome in VERDICTS for outcome, _, _ in nights)

    options = ("--seconds", str(NIGHT_SECS))
    document, seen = run_capped(tmp_path, *options, timeout_secs=NIGHT_SECS + 200, until=has_verdict)
    assert has_verdict(), f"no night of the readings' model came to a verdict: {nights}"
    assert document["ended_by"] == "signal SIGTERM"
    assert all(num > 0 for outcome, _, num in nights if outcome in VERDICTS), "a night trains"
    assert any({"loop", "trainer", "night"} <= each.keys() for each in seen), "at the same time"
    assert_within_budget(seen)
