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


def resident_bytes(process: psutil.Process) -> list[int]:
    """Of a process and each that it started; shared pages count for each. Empty while one of them ends."""
    try:
        return [each.memory_info().rss for each in (process, *process.children(recursive=True))]
    except psutil.Error:
        return []


@pytest.mark.slow
def test_a_run_with_its_trainer_stays_within_its_budget(tmp_path: Path) -> None:
    def cap() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (CAP_BYTES, CAP_BYTES))

    command = [sys.executable, "-m", "sage", "run", "jetson", "--seconds", "30", "--json"]
    running = subprocess.Popen(
        [*command, "--state-dir", str(tmp_path / "state")],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "log").open("w"),
        text=True,
        preexec_fn=cap,
    )
    process, has_ended = psutil.Process(running.pid), threading.Event()
    seen: list[list[int]] = []

    def watch() -> None:
        while not has_ended.wait(0.2):
            seen.append(resident_bytes(process))

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
    assert max(map(len, seen)) >= 2, "the trainer has a process of its own"
    peak_bytes = max(map(sum, seen))
    assert 0 < peak_bytes <= BUDGET_BYTES, f"{peak_bytes / (1 << 30):.2f} GiB"
