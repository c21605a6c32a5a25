"""The recordings that prediction is measured on, each run through the whole loop on a manual clock.

Invariant: one event a scored reading, in order; a recording that is absent is named with the remedy.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from sage.app.config.sage_config import load_config
from sage.app.session.build import build_run
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import ManualClock
from sage.runtime.prediction.predictor import PredictionScored
from sage.runtime.report import Event, SleepReport, TickFacts, TickReport

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"flight": "flight", "walk": "walk", "xio": "xio"}  # data set -> shipped configuration
QUICK_HOST_SECS, QUICK_REPLAY_SECS = 20.0, 1.5
#: Ten minutes of a two-core machine, now busy and now idle: `sage sensors record host --seconds 600 --out
#: FILE`.
HOST_RECORDING = Path(__file__).parent / "recordings" / "host_2cores_600s.npz"
HOST_PERIOD_SECS = 0.1
#: The name of the recording without anything to predict.
CONTROL = "control"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """events: in order.  gate: mean of the model's gate at the end.  num_steps: of practice.  missing: why
    there is nothing.
    """

    name: str
    events: tuple[PredictionScored, ...] = ()
    gate: float = float("nan")
    num_steps: int = 0
    num_ticks: int = 0
    missing: str = ""


def replay(name: str, *, is_quick: bool, host_file: Path | None = None) -> Replay:
    """Run one data set by name: "flight", "walk", "xio" or "host"."""
    os.environ.setdefault("SAGE_DATA", str(ROOT.parent / "shared" / "data"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            if name == "host":
                config = _host_config(Path(folder), host_file or HOST_RECORDING)
            else:
                config = SOURCES[name]
            seconds = (QUICK_HOST_SECS if name == "host" else QUICK_REPLAY_SECS) if is_quick else None
            return _run(name, config, Path(folder), seconds)
        except UserError as error:
            return Replay(name=name, missing=str(error))


def control(*, is_quick: bool, host_file: Path | None = None) -> Replay:
    """The host recording without anything to predict (`write_control`)."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = write_control(host_file or HOST_RECORDING, Path(folder) / "control.npz")
        except UserError as error:
            return Replay(name=CONTROL, missing=str(error))
        found = replay("host", is_quick=is_quick, host_file=path)
    return replace(found, name=CONTROL)


def write_control(source: Path, out: Path, *, seed: int = 0) -> Path:
    """A copy of a host recording in which each group of columns moves by its own changes, drawn at random in
    time and in sign: no prediction from the past is better than the last reading.
    """
    time_name, names = _columns(source)
    with np.load(source, allow_pickle=False) as arrays:
        table, columns = arrays["host"].astype(np.float64), [str(each) for each in arrays["host__cols"]]
    generator, num = np.random.default_rng(seed), len(table) - 1
    for group in _groups(names).values():
        at = [columns.index(name) for name in group]
        changes = np.diff(table[:, at], axis=0)[generator.integers(0, num, num)]
        changes *= generator.choice((-1.0, 1.0), (num, 1))
        table[1:, at] = table[0, at] + np.cumsum(changes, axis=0)
    np.savez(out, host=table, host__cols=np.array([time_name, *names]))
    return out


def _run(name: str, config_name: str, folder: Path, seconds: float | None) -> Replay:
    config = load_config(config_name, (), with_files=True)
    clock = ManualClock()
    events: list[PredictionScored] = []
    last = _LastTick()
    run = build_run(config, clock, directory=folder / "sleep", instruments=[last], on_scored=events.append)
    try:
        run.open()
        run.loop.run(until_ns=None if seconds is None else clock.now_ns() + round(seconds * 1e9))
    finally:
        run.close()
    if last.facts is None:
        return Replay(name=name, missing="the loop ended before its first tick")
    learning = last.facts.learning
    return Replay(
        name=name,
        events=tuple(events),
        gate=learning.gate,
        num_steps=learning.num_practice_steps,
        num_ticks=last.facts.tick,
    )


class _LastTick:
    """An instrument that keeps the newest facts."""

    def __init__(self) -> None:
        self.facts: TickFacts | None = None

    def on_tick(self, report: TickReport) -> None:
        self.facts = report.facts

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...


def _host_config(folder: Path, recording: Path) -> str:
    """A configuration that replays a host recording, a table for each group of its columns."""
    time_name, columns = _columns(recording)
    sensors = [
        {
            "kind": "table",
            "name": group,
            "path": str(recording.resolve()),
            "key": "host",
            "time": time_name,
            "columns": names,
        }
        | {"max_rate_hz": 50, "observes": group, "time_zero_secs": _first_time(recording)}
        for group, names in _groups(columns).items()
    ]
    rate = 1.0 / HOST_PERIOD_SECS
    tick = {"rate_hz": rate, "rest_rate_hz": rate, "dream_rate_hz": rate}
    path = folder / "host.yaml"
    path.write_text(
        yaml.safe_dump(
            {"name": "host", "tick": tick, "sensors": [*sensors, {"kind": "memory", "name": "recall"}]}
        )
    )
    return str(path)


def _columns(recording: Path) -> tuple[str, list[str]]:
    """The column of times, and the others. UserError for a file that is no host recording."""
    try:
        with np.load(recording, allow_pickle=False) as arrays:
            time_name, *columns = [str(column) for column in arrays["host__cols"]]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"--host {recording}: {error}: give a file made by `sage sensors record host`"
        ) from None
    return time_name, columns


def _groups(columns: Sequence[str]) -> dict[str, list[str]]:
    """By the first word of the name: a source each."""
    groups: dict[str, list[str]] = {}
    for column in columns:
        groups.setdefault(re.split(r"[._0-9]", column)[0], []).append(column)
    return groups


def _first_time(recording: Path) -> float:
    with np.load(recording, allow_pickle=False) as arrays:
        return float(arrays["host"][0, 0])
