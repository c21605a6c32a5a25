"""The soak's parent: lives of a session that are killed at random, on one state directory, for a number of
ticks or minutes; what they found is in DIR/soak.json, from which a later call continues.

Run as a script, for the reason given in `_soak_forks`. Invariant: any loss or damage is a line of `problems`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from _soak_forks import Fork, check_can_fork, parent_of
from _soak_processes import left_in_shm, still_there

from sage.durable import checked_json, read_json, write_file

FIGURES = ("resident_bytes", "heap_bytes", "descriptors", "threads")
KEYS = ("seed", "ticks", "lives", "counts", "problems", "samples", "most_unwritten", "last", "secs")
#: Samples of a life before this tick are left out of slopes: bounded stores fill up, code is compiled.
WARM_TICKS = 10_000
#: A life on the real clock has so many of the ticks of one on a manual clock, on average.
REAL_SHARE = 0.3
#: A life that says nothing for so long hangs.
PATIENCE_SECS = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakPlan:
    """Until `ticks` in all, or for `minutes` of this call. ticks_a_kill: on average.  warm_ticks: of a life,
    whose samples are left out of slopes.
    """

    ticks: int = 1_000_000
    minutes: float = 110.0
    ticks_a_kill: int = 15_000
    seed: int = 0
    warm_ticks: int = WARM_TICKS


def soak(folder: Path, plan: SoakPlan) -> dict[str, Any]:
    """What happened since the first call on `folder`. RuntimeError where the process fails."""
    parts = (plan.ticks, plan.minutes, plan.ticks_a_kill, plan.seed, plan.warm_ticks)
    return parent_of(__file__, folder, *parts)


def soak_side_by_side(folder: Path, plan: SoakPlan, num_parts: int) -> dict[str, Any]:
    """`soak` on `num_parts` state directories at once, each with its share of the ticks and a seed of its own
    (the first in `folder`, as without parts); what happened in all of them.
    """
    share = replace(plan, ticks=-(-plan.ticks // num_parts))
    homes = [folder, *(folder / f"part-{part}" for part in range(1, num_parts))]
    plans = [replace(share, seed=plan.seed + part) for part in range(num_parts)]
    with ThreadPoolExecutor(num_parts) as pool:
        return joined(list(pool.map(soak, homes, plans)), plan.warm_ticks)


def joined(parts: list[dict[str, Any]], warm_ticks: int = WARM_TICKS) -> dict[str, Any]:
    """What `run_soak` returned for each state directory as one: sums, and slopes of all lives."""
    counts: Counter[str] = Counter()
    samples, problems, num_lives = [], [], 0
    for number, part in enumerate(parts):
        counts.update(part["counts"])
        samples += [[num_lives + life, *rest] for life, *rest in part["samples"]]
        problems += [f"part {number}, {text}" for text in part["problems"]]
        num_lives += part["lives"]
    return {
        "seed": parts[0]["seed"],
        "parts": len(parts),
        "ticks": sum(part["ticks"] for part in parts),
        "lives": num_lives,
        "counts": dict(counts),
        "problems": problems,
        "samples": samples,
        "most_unwritten": max(part["most_unwritten"] for part in parts),
        "secs": sum(part["secs"] for part in parts),
        "slopes": slopes(samples, warm_ticks),
    }


@dataclass(slots=True, kw_only=True)
class Record:
    """soak.json. samples: [life, tick, resident bytes, bytes of the heap in use, descriptors, threads].
    most_unwritten: rows of the memory journal that a kill lost, at most.  last: the last line of a tick, by
    kind of life.
    """

    seed: int = 0
    ticks: int = 0
    lives: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    samples: list[list[int | None]] = field(default_factory=list)
    most_unwritten: int = 0
    last: dict[str, dict[str, Any]] = field(default_factory=dict)
    secs: float = 0.0

    @classmethod
    def read(cls, folder: Path, seed: int) -> Record:
        try:
            plain = read_json(folder / "soak.json", plain_keys=KEYS)
        except FileNotFoundError:
            return cls(seed=seed)
        return cls(**{**plain, "counts": Counter(plain["counts"])})

    def write(self, folder: Path) -> None:
        write_file(folder / "soak.json", checked_json(self.plain()))

    def plain(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in KEYS} | {"counts": dict(self.counts)}

    def note_life(self, lines: list[dict[str, Any]], kind: str = "state") -> None:
        """All lines of one life. kind: the folder of its state."""
        self.lives += 1
        ticks: list[dict[str, Any]] = []
        newest: dict[str, int] = {}
        for line in lines:
            if line["kind"] == "recovered":
                self._compare(line, kind)
            elif line["kind"] == "tick":
                newest = line.pop("counts", newest)
                ticks.append(line)
            elif line["kind"] == "problem":
                self.problems.append(f"life {self.lives}: {line['text']}")
            elif line["kind"] == "sample":
                newest = line["counts"]
                self.samples.append([self.lives, line["tick"], *(line[name] for name in FIGURES)])
        self.counts.update(newest)
        if ticks:
            self.ticks += ticks[-1]["tick"]
            self.last[kind] = ticks[-1]

    def note_processes(self, lines: list[dict[str, Any]], before: list[int]) -> None:
        """None of a life's processes may stay after it, and no shared mailbox after the next life's start.
        before: pids of lives whose mailboxes this life has removed.
        """
        found = [line["identities"] for line in lines if line["kind"] == "processes"]
        for pid in still_there(found[-1]) if found else ():
            self.problems.append(f"life {self.lives + 1}: its process {pid} did not end after it")
        self.counts["processes that ended after their session was killed"] += len(found[-1]) if found else 0
        if any(line["kind"] == "recovered" for line in lines):
            names = [name for pid in before for name in left_in_shm(pid)]
            self.problems += [f"life {self.lives + 1}: {name} stays in /dev/shm" for name in names]

    def _compare(self, found: dict[str, Any], kind: str) -> None:
        self.counts["restarts that recovered"] += 1
        # A damaged file stays where it is: the first life that finds it reports it.
        known = {problem.partition(": ")[2] for problem in self.problems}
        self.problems += [f"life {self.lives}: {each}" for each in found["problems"] if each not in known]
        last = self.last.pop(kind, None)
        if last is None:
            return
        for part in ("memory", "audit", "stored"):
            if found[part] < last[part]:
                self.problems.append(
                    f"life {self.lives}: {part}: {found[part]} restored, {last[part]} acknowledged"
                )
        self.most_unwritten = max(self.most_unwritten, last["appended"] - found["memory"])


def run_soak(folder: Path, plan: SoakPlan) -> dict[str, Any]:
    from _soak_files import write_files
    from _soak_session import is_real, live, write_nothing_to_disk

    write_nothing_to_disk()
    write_files(folder)
    with tempfile.TemporaryDirectory() as other:
        read_end, write_end = os.pipe()
        write_files(Path(other))
        live(Path(other) / "state", write_end, plan.seed, 0, 3)  # imports and compiles
        os.close(read_end)
        os.close(write_end)
    check_can_fork()
    folder.mkdir(parents=True, exist_ok=True)
    record = Record.read(folder, plan.seed)
    started = time.monotonic()
    deadline = started + 60 * plan.minutes
    left: list[int] = []  # the pid of the life before
    while record.ticks < plan.ticks and time.monotonic() < deadline and len(record.problems) < 20:
        began = time.monotonic()
        chance = np.random.default_rng([plan.seed, record.lives, 1])
        share = REAL_SHARE if is_real(record.lives) else 1.0
        until = 1 + int(chance.exponential(plan.ticks_a_kill * share))
        wanted = plan.ticks - record.ticks
        # Of their own: a life with other sources does not continue from the snapshot.
        kind = "real" if is_real(record.lives) else "state"
        lines, ending, pid = _one_life(folder / kind, live, plan, record.lives, (until, wanted), deadline)
        record.counts[ending] += 1
        record.note_processes(lines, left)
        left = [pid]
        if ending in ("hung", "failed"):
            record.problems.append(f"life {record.lives + 1} {ending}")
        record.note_life(lines, kind)
        record.secs += time.monotonic() - began
        record.write(folder)
    return record.plain() | {"slopes": slopes(record.samples, plan.warm_ticks)}


def _one_life(
    folder: Path, live: Any, plan: SoakPlan, life: int, ticks: tuple[int, int], deadline: float
) -> tuple[list[dict[str, Any]], str, int]:
    """Its lines, how it ended ("killed" at tick ticks[0], "ended" by itself after ticks[1]), and its pid."""
    fork = Fork.of(lambda out: live(folder, out, plan.seed, life, ticks[1]))
    ending, num_ticks = "", 0
    while not ending:
        piece = fork.read(PATIENCE_SECS)
        num_ticks += piece.count(b'"kind": "tick"')
        if fork.is_ended:
            ending = "ended"
        elif not piece:
            ending = "hung"
        elif num_ticks >= ticks[0] or time.monotonic() > deadline:
            ending = "killed"
    status = fork.end(is_killed=ending != "ended")
    if ending == "ended" and status:
        ending = "failed"
    return fork.lines(), ending, fork.pid


def slopes(
    samples: list[list[int | None]], warm_ticks: int = WARM_TICKS
) -> dict[str, dict[str, float | None]]:
    """Theil-Sen slope of each figure over ticks within a life, per 10,000 ticks, with its 95% interval
    (Sen 1968: of the sorted pairwise slopes, with the variance of Kendall's S summed over lives). None of a
    figure that has no three pairs.
    """
    table = np.array(samples, float).reshape(-1, 2 + len(FIGURES))
    table = table[table[:, 1] >= warm_ticks]
    found = {}
    for at, name in enumerate(FIGURES, 2):
        lives, ticks, values = table[np.isfinite(table[:, at])][:, [0, 1, at]].T
        found[name] = _slope(lives, ticks, values)
    return found


def _slope(lives: np.ndarray, ticks: np.ndarray, values: np.ndarray) -> dict[str, float | None]:
    pairs, variance = [], 0.0
    for life in np.unique(lives):
        x, y = ticks[lives == life], values[lives == life]
        first, second = np.triu_indices(len(x), 1)
        pairs.append((y[second] - y[first]) / (x[second] - x[first]))
        variance += len(x) * (len(x) - 1) * (2 * len(x) + 5) / 18
    found = np.sort(np.concatenate(pairs)) * 1e4 if pairs else np.zeros(0)
    if len(found) < 3:
        return {"median": None, "low": None, "high": None, "num_pairs": len(found)}
    half = 1.96 * variance**0.5 / 2
    low = int(max(len(found) / 2 - half, 0))
    high = int(min(len(found) / 2 + half, len(found) - 1))
    return {
        "median": float(np.median(found)),
        "low": float(found[low]),
        "high": float(found[high]),
        "num_pairs": len(found),
    }


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    ticks, minutes, ticks_a_kill, seed, warm_ticks = sys.argv[2:]
    wanted = SoakPlan(
        ticks=int(ticks),
        minutes=float(minutes),
        ticks_a_kill=int(ticks_a_kill),
        seed=int(seed),
        warm_ticks=int(warm_ticks),
    )
    print(json.dumps(run_soak(Path(sys.argv[1]), wanted)))
