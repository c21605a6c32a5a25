"""What the default run learns in two minutes: sessions of `sage run default`, one a seed, each with a state
directory of its own.

Each session is a process with a trainer beside it, as a user starts it: nothing is known before. Of each
level of sudoku: the share right of the first and the last 50 answers, and of 200 puzzles that the stream
never poses. Of each night: its outcome, and its gain with the 90% interval of its own examination. Of ticks:
the 99th percentile of all, and of those during nights beside those while none ran. Sessions run one after the
other and need two cores of their own: on a loaded machine they learn less.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import harness
import numpy as np

SECONDS, QUICK_SECONDS = 120, 12
SEEDS = (0, 1, 2, 3, 4)
FIRST_LEVEL, SECOND_LEVEL = "sudoku 4x4", "sudoku 6x6"
MOST_FIRST, LEAST_LAST = 0.10, 0.95
#: The 99th percentile of ticks during nights, times that of waking; of at least so many ticks of each kind.
MOST_SLOWER, LEAST_TICKS = 1.5, 100


@dataclass(frozen=True)
class Session:
    """One run. levels: the summary's figures of each level of sudoku, in order.  nights: outcome, gain and
    interval of each night of the puzzles.  p99_ms: of a tick.  night_ticks: numbers and 99th percentiles of
    the ticks during nights and of the others.
    """

    seed: int
    levels: list[dict[str, Any]]
    nights: list[dict[str, Any]]
    num_ticks: int
    p99_ms: float
    night_ticks: dict[str, Any]

    @property
    def slower(self) -> float | None:
        """The 99th percentile of ticks during nights, times that of waking; None of too few ticks."""
        if min(self.night_ticks["num_night"], self.night_ticks["num_waking"]) < LEAST_TICKS:
            return None
        return float(self.night_ticks["night_p99_ns"] / self.night_ticks["waking_p99_ns"])

    def level(self, name: str) -> dict[str, Any]:
        """Figures of that level; of no answer where it was not reached."""
        found = [each for each in self.levels if each["name"] == name]
        return found[0] if found else {"num_answered": 0, "first": None, "last": None, "held_out": None}


def run_session(seed: int, seconds: int) -> Session:
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"seed={seed}", f"state_dir={folder}/state"]
        command = [
            sys.executable,
            "-m",
            "sage",
            "run",
            "default",
            "--seconds",
            str(seconds),
            "--json",
            "--no-live",
        ]
        for each in settings:
            command += ["--set", each]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"first_run: seed {seed}: status {done.returncode}: {done.stderr[-500:]}")
    return session_of(seed, json.loads(done.stdout))


def session_of(seed: int, summary: dict[str, Any]) -> Session:
    """From the JSON summary of a session."""
    (stream,) = summary["solving"]
    names = ("outcome", "gain", "gain_low", "gain_high", "num_examined")
    nights = [{name: night[name] for name in names} for night in summary["sleeps"] if night["stream"]]
    return Session(
        seed=seed,
        levels=stream["levels"],
        nights=nights,
        num_ticks=summary["num_ticks"],
        p99_ms=summary["tick_p99_ns"] * 1e-6,
        night_ticks=summary["night_ticks"],
    )


def bars_of(sessions: Sequence[Session], *, is_owed: bool) -> list[harness.Bar]:
    """The worst of all seeds."""
    first = [each.level(FIRST_LEVEL) for each in sessions]
    second = [each.level(SECOND_LEVEL)["num_answered"] for each in sessions]
    values: tuple[tuple[str, float | None, float, bool], ...] = (
        ("4x4, right of the first 50, largest", _most(first, "first"), MOST_FIRST, False),
        ("4x4, right of the last 50, least", _least(first, "last"), LEAST_LAST, True),
        ("4x4, right of 200 held out, least", _least(first, "held_out"), LEAST_LAST, True),
        ("6x6, answers, least", float(min(second, default=0)), 1.0, True),
        ("p99 during a night, times that of waking, largest", _most_slower(sessions), MOST_SLOWER, False),
    )
    return [
        harness.Bar(
            name=name, value=None if is_owed else value, bar=bar, better="higher" if is_more else "lower"
        )
        for name, value, bar, is_more in values
    ]


def _least(levels: Sequence[dict[str, Any]], name: str) -> float:
    return min((0.0 if each[name] is None else float(each[name]) for each in levels), default=0.0)


def _most(levels: Sequence[dict[str, Any]], name: str) -> float:
    return max((1.0 if each[name] is None else float(each[name]) for each in levels), default=1.0)


def _most_slower(sessions: Sequence[Session]) -> float | None:
    """None where a session has too few ticks of either kind."""
    found = [each.slower for each in sessions]
    known = [slower for slower in found if slower is not None]
    return max(known) if known and len(known) == len(found) else None


def tables_of(sessions: Sequence[Session]) -> list[harness.TextTable]:
    rows, nights = [], []
    for each in sessions:
        for level in each.levels:
            shares = [_percent(level[name]) for name in ("first", "last", "held_out")]
            rows.append((str(each.seed), level["name"], f"{level['num_answered']:,}", *shares))
        for night in each.nights:
            gain = [_percent(night[name], sign="+") for name in ("gain", "gain_low", "gain_high")]
            nights.append((str(each.seed), night["outcome"], str(night["num_examined"]), *gain))
    names = sorted({level["name"] for each in sessions for level in each.levels})
    means = tuple((name, *_mean(sessions, name)) for name in names)
    columns = ("seed", "level", "answers", "first 50", "last 50", "held out")
    return [
        harness.TextTable(title="Shares right", columns=columns, rows=tuple(rows)),
        harness.TextTable(title="Means over seeds", columns=("level", *columns[2:]), rows=means),
        harness.TextTable(
            title="Nights of the puzzles",
            columns=("seed", "outcome", "examined", "gain", "90% from", "to"),
            rows=tuple(nights),
        ),
        harness.TextTable(
            title="Ticks",
            columns=("seed", "ticks", "p99 ms", "at night", "p99 ms", "awake", "p99 ms", "night / awake"),
            rows=tuple(map(_tick_row, sessions)),
        ),
    ]


def _tick_row(session: Session) -> tuple[str, ...]:
    ticks = session.night_ticks
    kinds = [
        text
        for kind in ("night", "waking")
        for text in (f"{ticks[f'num_{kind}']:,}", _millis(ticks[f"{kind}_p99_ns"]))
    ]
    slower = "-" if session.slower is None else f"{session.slower:.2f}"
    return (str(session.seed), f"{session.num_ticks:,}", f"{session.p99_ms:.1f}", *kinds, slower)


def _millis(value_ns: float | None) -> str:
    return "-" if value_ns is None else f"{value_ns * 1e-6:.1f}"


def _mean(sessions: Sequence[Session], name: str) -> tuple[str, ...]:
    found = [each.level(name) for each in sessions]
    answers = np.mean([each["num_answered"] for each in found])
    shares = ([each[key] for each in found if each[key] is not None] for key in ("first", "last", "held_out"))
    return (f"{answers:,.0f}", *(_percent(float(np.mean(each)) if each else None) for each in shares))


def _percent(share: float | None, *, sign: str = "") -> str:
    return "-" if share is None else f"{100 * share:{sign}.1f}%"


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument(
        "--seeds",
        type=harness.seeds_of,
        default=",".join(map(str, SEEDS)),
        help="separated by commas (0,1,2,3,4)",
    )
    arguments = parser.parse_args()
    seeds = SEEDS[:1] if arguments.quick else arguments.seeds
    calibration = harness.calibrate()
    sessions = []
    for seed in seeds:
        sessions.append(run_session(seed, QUICK_SECONDS if arguments.quick else SECONDS))
        print(f"seed {seed}: {sessions[-1].levels}", file=sys.stderr, flush=True)
    bars = bars_of(sessions, is_owed=arguments.quick or len(seeds) < len(SEEDS))
    results = {"calibration": calibration, "sessions": [asdict(each) for each in sessions]}
    notes = (__doc__ or "").partition("\n\n")[2]
    harness.finish(
        harness.document("first_run", results, bars),
        [*tables_of(sessions), harness.bars_table(bars)],
        is_saved=arguments.save,
        notes=notes,
    )


if __name__ == "__main__":
    main()
