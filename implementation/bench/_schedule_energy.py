"""Energy against skill and solve rate: the same run with modes, and always awake.

Two recordings that move for 20 s and hardly move for 20 s, in turn, and a stream of 4x4 sudokus, solved by
the shipped weights; nothing is trained. Energy is what the ledger charges, with the default costs and a
supply that limits nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sage.app.config.sage_config import build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.session.build import build_run
from sage.mailbox.clock import ManualClock
from sage.runtime.report import Event, SleepReport, TickReport
from sage.runtime.scheduling.ledger import MICRO

PHASE_SECS = 20.0
ARMS: dict[str, dict[str, Any]] = {
    "always awake": {"metabolism": {"rests": False}},
    "modes": {
        "metabolism": {
            "rest_after_secs": 1,
            "rest_segments": 1,
            "rest_change": 0.5,
            "focuses": True,
            "focus_practises": True,
        },
        "tick": {"rate_hz": 20, "rest_rate_hz": 10},
        "practice": {"every_ticks": 8, "by_time": True},
    },
}


@dataclass(frozen=True)
class Arm:
    """energy: units charged.  skill: 1 - error / error of persistence.  solved: share of the puzzles answered
    that are right.  num_right: of them.  states: share of the time in each state.
    """

    name: str
    energy: float
    skill: float
    solved: float
    num_right: int
    states: Mapping[str, float]


class Totals:
    """An instrument that adds up."""

    def __init__(self) -> None:
        self.charged = self.num_right = self.num_answers = 0
        self.error = self.persistence = 0.0
        self.times: dict[str, list[int]] = {}
        self._last_ns = 0

    def on_tick(self, report: TickReport) -> None:
        facts = report.facts
        self.charged += facts.energy.charged
        for source in facts.sources:
            if np.isfinite(source.error) and np.isfinite(source.persistence_error):
                self.error += source.error
                self.persistence += source.persistence_error
        for stream in facts.solving:
            self.num_answers += len(stream.answers)
            self.num_right += sum(answer.is_right for answer in stream.answers)
        self.times.setdefault(facts.state.value, []).append(facts.time_ns - self._last_ns)
        self._last_ns = facts.time_ns

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...


def write_recording(path: Path, secs: float, seed: int) -> None:
    """A CSV of 3 channels at 20 Hz: sums of sinusoids, a twentieth as large in every second phase."""
    generator = np.random.default_rng(seed)
    times = np.arange(0, secs + 5, 0.05)
    size = np.where(times // PHASE_SECS % 2 == 0, 1.0, 0.05)
    columns = [
        size
        * sum(
            np.sin(2 * np.pi * hz * times + generator.uniform(0, 6)) for hz in generator.uniform(0.1, 1.5, 3)
        )
        + generator.normal(0, 0.02, len(times))
        for _ in range(3)
    ]
    rows = np.column_stack([times, *columns])
    np.savetxt(path, rows, delimiter=",", header="time,x,y,z", comments="", fmt="%.6f")


def measure(name: str, secs: float, seed: int = 0) -> Arm:
    """One arm for `secs` of simulated time."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"recording{index}.csv" for index in range(2)]
        for index, path in enumerate(paths):
            write_recording(path, secs, 10 * seed + index)
        data: dict[str, Any] = {
            "seed": seed,
            "sensors": [
                {"kind": "table", "name": f"recording{index}", "path": str(path), "time": "time"}
                for index, path in enumerate(paths)
            ],
            "environments": [
                {
                    "kind": "puzzles", "name": "sudokus", "task": "sudoku", "options": {"size": 4},
                    "rate_hz": 2, "seed": seed,
                }
            ],
            "policy": {"rules": [{"decision": "allow", "effect": "cognitive", "target": "puzzle"}]},
            "model": {"hidden_size": 32},
            "practice": {"every_ticks": 8},
            "solving": {"weights": "sudoku4", "preset": None},
            "solver_training": {"where": "inline", "practises": False},
            "sleep": {"enabled": False},
            "energy": {"enabled": True, "supply": 1_000_000, "recharge_per_sec": 0},
        }  # fmt: skip
        totals = Totals()
        config = build_config(YamlDocument(data=data | ARMS[name], source="schedule"))
        run = build_run(config, ManualClock(), directory=Path(folder) / "sleep", instruments=[totals])
        try:
            run.open()
            run.loop.run(until_ns=run.loop.clock.now_ns() + int(secs * 1e9))
        finally:
            run.close()
    time_ns = sum(map(sum, totals.times.values()))
    return Arm(
        name=name,
        energy=totals.charged / MICRO,
        skill=1 - totals.error / totals.persistence,
        solved=totals.num_right / max(totals.num_answers, 1),
        num_right=totals.num_right,
        states={state: sum(each) / time_ns for state, each in totals.times.items()},
    )
