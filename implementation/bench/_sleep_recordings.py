"""Recordings lived through with three nights, and with practice alone at equal steps.

Nights are due at a quarter, a half and three quarters of a recording, in the loop's own thread; the other arm
takes as many more steps of practice at the same moments. Both are scored on the last quarter, each reading
predicted before it is learned. A pair of lives is a line of a file, so that a comparison can be continued.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import harness
import numpy as np
from _replays import HOST_RECORDING, SOURCES, _host_config
from _scoring import BLOCK_SECS, Stream, _errors, sensor_streams

from sage.app.config.sage_config import load_config
from sage.app.session.build import Run, build_run
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import ManualClock
from sage.runtime.prediction.predictor import PredictionScored
from sage.runtime.report import Event, SleepReport, TickReport, to_plain

RECORDINGS = ("flight", "xio", "host")
SECONDS = {"flight": 5.5, "xio": 135.0, "host": 600.0}
QUICK_SECONDS = {"flight": 2.0, "xio": 4.0, "host": 20.0}
#: Recordings of seconds and minutes have too few blocks of five seconds: shorter ones, and more of them, are
#: examined there. A flight of a few seconds is too short for that, too.
OF_FLIGHT = ("sleep.enabled=true", "sleep.block_secs=0.4", "sleep.examined_fraction=0.25")
OPTIONS = {"flight": OF_FLIGHT, "xio": ("sleep.block_secs=1", "sleep.examined_fraction=0.3"), "host": ()}
NUM_NIGHTS = 3
NUM_RESAMPLES = 1000
INTERVAL = (0.025, 0.975)
MIN_SCORED = 20
NIGHT_COLUMNS = ("outcome", "num_steps", "reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One arm of one recording. streams: of the last quarter.  nights: their reports, in order."""

    streams: tuple[Stream, ...]
    nights: tuple[SleepReport, ...]
    num_practice_steps: int
    cpu_secs: float

    @property
    def model_share(self) -> float | None:
        """Of the scored readings, those whose prediction the model has changed: elsewhere it is the linear
        part's, and neither nights nor practice can show. None without a reading.
        """
        changed = [(each.ours != each.skip).any(axis=1) for each in self.streams]
        return float(np.concatenate(changed).mean()) if changed else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Both arms with one seed."""

    seed: int
    nights: Life
    practice: Life


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRecord:
    """What is kept of a pair, in JSON's types.

    errors: of each source scored in both arms, (3, blocks): summed squared errors of persistence, practice,
    nights.  nights: reports.  practice_steps, cpu_secs: of "nights" and "practice".  seconds, settings: of
    both lives.  commit: of the code.
    """

    recording: str
    seed: int
    seconds: float
    settings: list[str]
    errors: list[list[list[float]]]
    nights: list[Any]
    practice_steps: dict[str, int]
    cpu_secs: dict[str, float]
    commit: str = ""
    model_share: dict[str, float | None] = field(default_factory=dict)

    @classmethod
    def of(cls, recording: str, pair: Pair, seconds: float, settings: Sequence[str]) -> PairRecord:
        return cls(
            recording=recording,
            seed=pair.seed,
            seconds=seconds,
            settings=list(settings),
            errors=[each.tolist() for each in paired_errors(pair)],
            nights=[to_plain(report) for report in pair.nights.nights],
            practice_steps={
                "nights": pair.nights.num_practice_steps,
                "practice": pair.practice.num_practice_steps,
            },
            cpu_secs={"nights": pair.nights.cpu_secs, "practice": pair.practice.cpu_secs},
            commit=harness.commit(),
            model_share={"nights": pair.nights.model_share, "practice": pair.practice.model_share},
        )


class PairFile:
    """Pairs so far, a line of JSON each; None: they are kept in memory alone. A line that a kill cut is left
    out. SystemExit for a file of another kind. Pairs of another commit are used and named on stderr.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._pairs: list[PairRecord] = []
        if path is not None and path.exists():
            text = path.read_text()
            whole = text[: text.rfind("\n") + 1]
            if whole != text:
                path.write_text(whole)
            try:
                self._pairs = [PairRecord(**json.loads(line)) for line in whole.splitlines()]
            except (TypeError, ValueError) as error:
                raise SystemExit(
                    f"sleep: --runs {path}: no pairs of lives ({error}): give another file"
                ) from None

    def pair(self, name: str, seed: int, settings: Sequence[str], *, is_quick: bool) -> PairRecord:
        """The one in the file, or a new one. UserError where the recording is absent."""
        secs = (QUICK_SECONDS if is_quick else SECONDS)[name]
        settings = [*OPTIONS[name], *settings]
        for each in self._pairs:
            wanted = (name, seed, secs, list(settings))
            if (each.recording, each.seed, each.seconds, each.settings) == wanted:
                if each.commit != harness.commit():
                    print(f"{name}, seed {seed}: of commit {each.commit or 'unknown'}", file=sys.stderr)
                return each
        found = PairRecord.of(name, live_pair(name, seed, settings, secs), secs, settings)
        self._pairs.append(found)
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(asdict(found)) + "\n")
        spent = sum(found.cpu_secs.values())
        print(f"{name}, seed {seed}: {spent:.0f} CPU seconds", file=sys.stderr, flush=True)
        return found


class _Nights:
    """An instrument that keeps the reports of nights and the number of practice steps."""

    def __init__(self) -> None:
        self.reports: list[SleepReport] = []
        self.num_steps = 0

    def on_tick(self, report: TickReport) -> None:
        self.num_steps = report.facts.learning.num_practice_steps

    def on_sleep(self, report: SleepReport) -> None:
        self.reports.append(report)

    def on_event(self, event: Event) -> None: ...


def live_pair(name: str, seed: int, settings: Sequence[str], secs: float) -> Pair:
    """secs: of the recording.  UserError where it is absent."""
    nights = _live(name, seed, settings, secs, extra_steps=None)
    spent = [report.num_steps for report in nights.nights][:NUM_NIGHTS]
    steps = spent + [0] * (NUM_NIGHTS - len(spent))
    return Pair(seed=seed, nights=nights, practice=_live(name, seed, settings, secs, extra_steps=steps))


def _live(
    name: str, seed: int, settings: Sequence[str], secs: float, *, extra_steps: Sequence[int] | None
) -> Life:
    """extra_steps: of practice at the moment of each night, instead of nights."""
    started, part = time.process_time(), secs / (NUM_NIGHTS + 1)
    schedule = [f"seed={seed}", "sleep.where=inline", f"sleep.first_after_secs={part}"]
    schedule += [f"sleep.every_secs={part}", *settings]
    if extra_steps is not None:
        schedule.append("sleep.enabled=false")
    events: list[PredictionScored] = []
    heard, clock = _Nights(), ManualClock()
    with tempfile.TemporaryDirectory() as folder:
        source = _host_config(Path(folder), HOST_RECORDING) if name == "host" else SOURCES[name]
        config = load_config(source, schedule, with_files=True)
        run = build_run(
            config, clock, directory=Path(folder) / "sleep", instruments=[heard], on_scored=events.append
        )
        try:
            run.open()
            num_heard = _play(run, clock, part, extra_steps, events)
        finally:
            run.close()
    return Life(
        streams=tuple(sensor_streams(events[num_heard:])),
        nights=tuple(heard.reports),
        num_practice_steps=heard.num_steps,
        cpu_secs=time.process_time() - started,
    )


def _play(
    run: Run,
    clock: ManualClock,
    part_secs: float,
    extra_steps: Sequence[int] | None,
    events: Sequence[PredictionScored],
) -> int:
    """Play the recording; returns the number of readings scored before the last quarter."""
    start_ns, between = clock.now_ns(), run.loop.between_ticks
    for number in range(1, NUM_NIGHTS + 1):
        run.loop.run(until_ns=start_ns + round(number * part_secs * 1e9))
        if extra_steps is not None and extra_steps[number - 1]:
            between.practice.work(0, clock.now_ns() + 10**12, extra_steps[number - 1])
    # The night that is due now takes place after the next tick.
    num_heard = len(events)
    run.loop.run(until_ns=start_ns + round((NUM_NIGHTS + 1) * part_secs * 1e9))
    return num_heard


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Nights against practice on the last quarter.

    skill: against persistence, geometric mean over sources, mean over seeds.  gain: 1 - MSE with nights / MSE
    with practice alone, likewise, with its 95% interval over blocks of time and seeds.
    """

    skill_practice: float
    skill_nights: float
    gain: float
    low: float
    high: float
    num_sources: int


def compare(pairs: Sequence[PairRecord], generator: np.random.Generator) -> Compared | None:
    """None where no source was scored often enough."""
    errors = [[np.array(source) for source in pair.errors] for pair in pairs]
    if not errors or not all(errors):
        return None
    num_blocks = min(source.shape[1] for each in errors for source in each)
    everything = np.arange(num_blocks)
    gains = []
    for _ in range(NUM_RESAMPLES):
        drawn = generator.integers(0, len(errors), len(errors))
        blocks = generator.integers(0, num_blocks, num_blocks)  # the same in all sources and both arms
        gains.append(np.mean([_gain(errors[seed], blocks, 2, 1) for seed in drawn]))
    low, high = np.nanquantile(gains, INTERVAL)
    return Compared(
        skill_practice=float(np.mean([_gain(each, everything, 1, 0) for each in errors])),
        skill_nights=float(np.mean([_gain(each, everything, 2, 0) for each in errors])),
        gain=float(np.mean([_gain(each, everything, 2, 1) for each in errors])),
        low=float(low),
        high=float(high),
        num_sources=len(errors[0]),
    )


def _gain(sources: Sequence[np.ndarray], blocks: np.ndarray, of: int, over: int) -> float:
    """1 - geometric mean over sources of the ratio of their summed errors. Rows: persistence, practice,
    nights.
    """
    ratios = [each[of, blocks].sum() / max(each[over, blocks].sum(), 1e-12) for each in sources]
    return float(1.0 - np.exp(np.mean(np.log(np.maximum(ratios, 1e-12)))))


def paired_errors(pair: Pair) -> list[np.ndarray]:
    """For each source scored in both arms, (3, blocks): summed errors of persistence, practice, nights."""
    nights = {stream.source: stream for stream in pair.nights.streams}
    both = [(stream, nights[stream.source]) for stream in pair.practice.streams if stream.source in nights]
    both = [pair for pair in both if min(len(stream.actual) for stream in pair) >= MIN_SCORED]
    if not both:
        return []
    first = min(one.time_secs[0] for one, _ in both)
    last = max(one.time_secs[-1] for one, _ in both)
    num_blocks = max(int((last - first) / BLOCK_SECS), 4)
    found = []
    for one, other in both:
        _, rows, other_rows = np.intersect1d(one.time_secs, other.time_secs, return_indices=True)
        moved = ((one.actual - one.last) != 0).any(axis=0) & (one.scale > 0)
        if not moved.any():
            continue
        errors = np.stack(
            [
                _errors(one.last, one, moved)[rows],
                _errors(one.ours, one, moved)[rows],
                _errors(other.ours, other, moved)[other_rows],
            ]
        )
        block = ((one.time_secs[rows] - first) / (last - first + 1e-9) * num_blocks).astype(int)
        found.append(np.stack([np.bincount(block, each, num_blocks) for each in errors]))
    return found


def run_recordings(
    names: Sequence[str], seeds: Sequence[int], settings: Sequence[str], file: PairFile, *, is_quick: bool
) -> tuple[dict[str, Any], list[harness.TextTable]]:
    """Results for the document, and tables."""
    generator = np.random.default_rng(0)
    results: dict[str, Any] = {}
    rows, night_rows = [], []
    for name in names:
        try:
            pairs = [file.pair(name, seed, settings, is_quick=is_quick) for seed in seeds]
        except UserError as error:
            results[name] = {"missing": str(error)}
            rows.append((f"{name}: {error}", *("-",) * 7))
            continue
        compared = compare(pairs, generator)
        results[name] = {
            "compared": None if compared is None else asdict(compared),
            "lives": [asdict(pair) for pair in pairs],
        }
        rows.append(_row(name, pairs, compared))
        night_rows += [
            (f"{name}, seed {pair.seed}", str(number), *(str(night[key]) for key in NIGHT_COLUMNS))
            for pair in pairs
            for number, night in enumerate(pair.nights, 1)
        ]
    columns = (
        "recording",
        "skill, practice",
        "skill, nights",
        "gain of nights",
        "95%",
        "sources",
        "model used",
        "CPU s a life",
    )
    lives = harness.TextTable(title="Last quarter, after three nights", columns=columns, rows=tuple(rows))
    nights = harness.TextTable(
        title="Nights", columns=("life", "night", *NIGHT_COLUMNS), rows=tuple(night_rows)
    )
    return results, [lives, nights]


def _row(name: str, pairs: Sequence[PairRecord], compared: Compared | None) -> tuple[str, ...]:
    show = harness.number
    cpu = f"{np.mean([pair.cpu_secs['nights'] for pair in pairs]):.0f}"
    shares = [pair.model_share.get("nights") for pair in pairs]
    known = [share for share in shares if share is not None]
    used = f"{np.mean(known):.0%}" if known else "-"
    if compared is None:
        return (name, *("-",) * 4, "0", used, cpu)
    return (
        name,
        show(compared.skill_practice),
        show(compared.skill_nights),
        show(compared.gain, 4),
        f"{show(compared.low, 4)} .. {show(compared.high, 4)}",
        str(compared.num_sources),
        used,
        cpu,
    )
