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
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

CAP_BYTES, BUDGET_BYTES = 8 << 30, 6 << 30
#: The first night begins after 45 s, and takes about a minute of one core; a loaded machine takes longer.
NIGHT_SECS = 500
VERDICTS = ("accepted", "rolled_back", "undecided")


def resident_bytes(process: psutil.Process) -> list[int]:
    """Of a process and each that it started; shared pages count for each. Empty while one of them ends."""
    try:
        return [each.memory_info().rss for each in (process, *process.children(recursive=True))]
    except psutil.Error:
        return []


def run_capped(
    folder: Path, *options: str, timeout_secs: float, until: Callable[[], bool] = lambda: False
) -> tuple[dict[str, Any], list[list[int]]]:
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
    seen: list[list[int]] = []

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


@pytest.mark.slow
def test_a_run_with_its_trainer_stays_within_its_budget(tmp_path: Path) -> None:
    document, seen = run_capped(tmp_path, "--seconds", "30", timeout_secs=280)
    assert document["ended_by"] == "time"
    assert max(map(len, seen)) >= 2, "the trainer has a process of its own"
    peak_bytes = max(map(sum, seen))
    assert 0 < peak_bytes <= BUDGET_BYTES, f"{peak_bytes / (1 << 30):.2f} GiB"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_night_beside_loop_and_trainer_stays_within_the_budget(tmp_path: Path) -> None:
    """As configured: the first night begins after 45 s."""
    store = tmp_path / "state" / "store.sqlite"

    def outcomes() -> list[str]:
        if not store.exists():
            return []
        with closing(sqlite3.connect(store)) as connection:
            try:
                return [outcome for (outcome,) in connection.execute("SELECT outcome FROM sleeps")]
            except sqlite3.OperationalError:  # it is being created
                return []

    def has_verdict() -> bool:
        return any(outcome in VERDICTS for outcome in outcomes())

    options = ("--seconds", str(NIGHT_SECS))
    _, seen = run_capped(tmp_path, *options, timeout_secs=NIGHT_SECS + 100, until=has_verdict)
    assert has_verdict(), f"no night came to a verdict: {outcomes()}"
    assert max(map(len, seen)) >= 3, "loop, trainer and night are processes at the same time"
    peak_bytes = max(map(sum, seen))
    assert 0 < peak_bytes <= BUDGET_BYTES, f"{peak_bytes / (1 << 30):.2f} GiB"
