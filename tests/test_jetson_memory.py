"""The configuration of a Jetson with 8 GB, run on a processor with a cap on memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

CAP_BYTES, BUDGET_BYTES = 8 << 30, 6 << 30


def resident_bytes(process: psutil.Process) -> int:
    """Of a process and all that it started; shared pages count for each."""
    try:
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0


@pytest.mark.slow
def test_a_run_with_its_trainer_and_a_night_stays_within_its_budget(tmp_path: Path) -> None:
    def cap() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (CAP_BYTES, CAP_BYTES))

    command = [sys.executable, "-m", "sage", "run", "jetson", "--seconds", "60", "--json"]
    running = subprocess.Popen(
        [*command, "--set", "sleep.first_after_secs=20", "--state-dir", str(tmp_path / "state")],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "log").open("w"),
        text=True,
        preexec_fn=cap,
    )
    process, peak_bytes, has_ended = psutil.Process(running.pid), 0, threading.Event()

    def watch() -> None:
        nonlocal peak_bytes
        while not has_ended.wait(0.2):
            peak_bytes = max(peak_bytes, resident_bytes(process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        out, _ = running.communicate(timeout=280)
    finally:
        has_ended.set()
        watcher.join()
        running.kill()
    assert running.returncode == 0, (tmp_path / "log").read_text()[-2000:]
    document = json.loads(out.splitlines()[-1])
    assert document["ended_by"] == "time"
    assert 0 < peak_bytes <= BUDGET_BYTES, f"{peak_bytes / (1 << 30):.2f} GiB"
