"""kill -9 at random times of a process that writes a state directory, and what the next process finds there.

Run as a script it is the parent, see `_soak_forks`. Invariant: any loss or damage is a line of `problems`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _soak_forks import Fork, check_can_fork, parent_of

#: A writer is killed at most this long after it has recovered; one in five so long after its start.
LONGEST_SECS = 0.6
EARLY_SHARE = 0.2
#: A restart must report what it recovered in this time, unless it is killed before.
PATIENCE_SECS = 120.0
RECOVERED = b'"recovered"'


def kills(folder: Path, num: int, *, seed: int = 0, max_secs: float = 3600.0) -> dict[str, Any]:
    """Counts of `num` kills in a process of its own; fewer when `max_secs` are over. RuntimeError when that
    process fails.
    """
    return parent_of(__file__, folder, num, seed, max_secs)


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
    check_can_fork()
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
    writer = Fork.of(lambda out: write(folder, out))
    secs = float(chance.uniform(0.0, LONGEST_SECS)) if chance is not None else 0.0
    is_early = chance is not None and chance.random() < EARLY_SHARE
    if not is_early:
        writer.read_for(PATIENCE_SECS, until=RECOVERED)
    writer.read_for(secs)
    status = writer.end(is_killed=True)
    if not os.WIFSIGNALED(status):
        tally.problems.append(f"a writer ended by itself with status {status}")
    for line in writer.lines():
        tally.note(line)
    has_recovered = RECOVERED in writer.data
    if not (has_recovered or is_early):
        tally.problems.append(f"a restart did not recover in {PATIENCE_SECS:g} s")
    return not has_recovered


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    facts = run_kills(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    print(json.dumps(facts))
