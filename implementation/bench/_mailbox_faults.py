"""Two hundred kills: at random moments of a stream, and at chosen points of a hand-over.

Invariant: a torn record, one delivered twice or lost without a report, a stuck process or a left-over file
fails the run by name; the figures are of runs without such a fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from _mailbox_kills import REAPED, Waited, kills
from _mailbox_soak import SoakPlan, soak


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """Kills: num_random of each kind of stream, num_each in each scene."""

    num_random: int = 60
    num_each: int = 16
    num_messages: int = 400_000
    max_secs: float = 120.0

    @classmethod
    def quick(cls) -> FaultPlan:
        return cls(num_random=6, num_each=2, num_messages=20_000, max_secs=6.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What the kills did. problems: one line for each thing that was wrong."""

    streams: tuple[dict[str, Any], ...]
    scenes: dict[str, list[Waited]]
    problems: tuple[str, ...]

    @property
    def num_kills(self) -> int:
        return sum(each["num_kills"] for each in self.streams) + sum(map(len, self.scenes.values()))

    @property
    def reaped_ms(self) -> float | None:
        """p95 of what a survivor waited for a dead one's slots or cursor, since its end."""
        waits = [wait.since_end_ms for scene in REAPED for wait in self.scenes.get(scene, [])]
        return float(np.percentile(waits, 95)) if waits else None

    def describe(self) -> dict[str, Any]:
        waited = {scene: _describe(waits) for scene, waits in self.scenes.items()}
        return {
            "num_kills": self.num_kills,
            "reaped_p95_ms": self.reaped_ms,
            "streams": list(self.streams),
            "scenes": waited,
            "problems": list(self.problems),
        }


def _describe(waits: list[Waited]) -> dict[str, float]:
    since_kill, since_end = [each.since_kill_ms for each in waits], [each.since_end_ms for each in waits]
    return {
        "n": len(waits),
        "since_kill_p50_ms": float(np.median(since_kill)),
        "since_kill_max_ms": max(since_kill),
        "since_end_p50_ms": float(np.median(since_end)),
        "since_end_max_ms": max(since_end),
    }


def run_faults(plan: FaultPlan) -> Faults:
    streams, problems = [], []
    for seed, mode in enumerate(("lossy", "lossless")):
        wanted = SoakPlan(
            mode=mode,
            seed=seed,
            num_messages=plan.num_messages,
            num_kills=plan.num_random,
            max_secs=plan.max_secs,
        )
        try:
            streams.append(soak(wanted))
        except RuntimeError as error:
            problems.append(str(error))
    try:
        scenes = kills(plan.num_each)
    except RuntimeError as error:
        scenes = {}
        problems.append(str(error))
    return Faults(streams=tuple(streams), scenes=scenes, problems=tuple(problems))
