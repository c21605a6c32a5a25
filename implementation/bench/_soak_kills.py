"""kill -9 at random times of a process that writes a state directory, and what the next process finds there.

Run as a script it is the parent: it has imported everything, has no thread, and forks each writer, so that a
restart takes a fraction of a second. Invariant: any loss or damage is a line of `problems`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

#: A writer is killed at most this long after it has recovered; one in five so long after its start.
LONGEST_SECS = 0.6
EARLY_SHARE = 0.2
#: A restart must report what it recovered in this time, unless it is killed before.
PATIENCE_SECS = 120.0


def kills(folder: Path, num: int, *, seed: int = 0, max_secs: float = 3600.0) -> dict[str, Any]:
    """Counts of `num` kills in a process of its own; fewer when `max_secs` are over. RuntimeError when that
    process fails.
    """
    command = [sys.executable, __file__, str(folder), str(num), str(seed), str(max_secs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"kills in {folder}:\n{done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was acknowledged up to now, and what restarts found. digests: of memory, by the newest row."""

    memory: int = 0
    audit: int = 0
    trainer: int = 0
    schemes: dict[str, int] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def note(self, line: dict[str, Any]) -> None:
        kind = line["kind"]
        if kind == "recovered":
            self._compare(line)
            self.digests = {line["memory"]: line["digest"]}
        elif kind == "memory":
            self.digests[line["sequence"]] = line["digest"]
        elif kind == "acknowledged":
            self.counts["steps"] += 1
            for part in ("memory", "audit", "trainer"):
                setattr(self, part, max(getattr(self, part), line[part]))
            self.schemes |= line["schemes"]
            self.stored |= line["stored"]
            if line["problem"]:
                self.problems.append(f"a write failed: {line['problem']}")

    def _compare(self, found: dict[str, Any]) -> None:
        """A restart's findings with what was acknowledged before the kill."""
        self.counts["recoveries"] += 1
        self.problems += found["problems"]
        for part in ("memory", "audit", "trainer"):
            if found[part] < getattr(self, part):
                self.problems.append(f"{part}: {found[part]} restored, {getattr(self, part)} acknowledged")
        for name, value in self.schemes.items():
            if found["schemes"].get(name, -1) < value:
                self.problems.append(f"totality: {name} is {found['schemes'].get(name)}, not {value}")
        for session, num in self.stored.items():
            if found["stored"].get(session, -1) < num:
                there = found["stored"].get(session)
                self.problems.append(f"store: {there} reports of {session}, {num} written")
        self.stored = {}
        known = self.digests.get(found["memory"])
        if known is not None:
            self.counts["memories_compared"] += 1
            if known != found["digest"]:
                self.problems.append(f"memory: its content after row {found['memory']} differs")
        self.counts["with_snapshot"] += "continued from tick" in found["message"]
        self.counts["with_journal_rows"] += "later changes of memory" in found["message"]


def run_kills(folder: Path, num: int, seed: int, max_secs: float) -> dict[str, Any]:
    from _soak_writer import warm_up, write_until_killed

    with tempfile.TemporaryDirectory() as other:
        warm_up(Path(other))
    if threading.active_count() > 1:
        raise RuntimeError(f"a fork needs a process of one thread: {threading.enumerate()}")
    chance = np.random.default_rng(seed)
    tally, started, done = Tally(), time.monotonic(), 0
    while done < num and time.monotonic() - started < max_secs:
        early = _live_and_die(folder, tally, chance, write_until_killed)
        done += 1
        tally.counts["killed_while_recovering"] += early
        if len(tally.problems) > 20:
            break
    _live_and_die(folder, tally, None, write_until_killed)  # what the last kill left
    return {
        "num_kills": done,
        "num_problems": len(tally.problems),
        "problems": tally.problems[:20],
        "secs": time.monotonic() - started,
        "acknowledged": {"memory": tally.memory, "audit": tally.audit, "trainer": tally.trainer},
        **tally.counts,
    }


def _live_and_die(folder: Path, tally: Tally, chance: np.random.Generator | None, write: Any) -> bool:
    """One writer from its fork to its kill; whether it was killed before it had recovered. Without `chance`
    it is killed as soon as it has.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read_end)
        try:
            write(folder, write_end)
        except BaseException:
            traceback.print_exc()
        os._exit(3)
    os.close(write_end)
    secs = float(chance.uniform(0.0, LONGEST_SECS)) if chance is not None else 0.0
    is_early = chance is not None and chance.random() < EARLY_SHARE
    with os.fdopen(read_end, "rb", buffering=0) as pipe:
        data = b"" if is_early else _read(pipe, PATIENCE_SECS, until=b'"recovered"')
        data += _read(pipe, secs)
        os.kill(pid, signal.SIGKILL)
        while piece := pipe.read(1 << 16):
            data += piece
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        tally.problems.append(f"a writer ended by itself with status {status}")
    for raw in data.split(b"\n")[:-1]:  # the last one is empty, or cut
        tally.note(json.loads(raw))
    has_recovered = b'"recovered"' in data
    if not (has_recovered or is_early):
        tally.problems.append(f"a restart did not recover in {PATIENCE_SECS:g} s")
    return not has_recovered


def _read(pipe: Any, secs: float, *, until: bytes | None = None) -> bytes:
    """What is written in `secs`, or up to `until`: a full pipe would stop the writer."""
    deadline, data = time.monotonic() + secs, b""
    while (left := deadline - time.monotonic()) > 0 and (until is None or until not in data):
        ready, _, _ = select.select([pipe], [], [], left)
        piece = pipe.read(1 << 16) if ready else b""
        if ready and not piece:  # it ended by itself
            break
        data += piece
    return data


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    facts = run_kills(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    print(json.dumps(facts))
