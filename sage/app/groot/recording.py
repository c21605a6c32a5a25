"""`sage groot record`: a run's images, states and actions as a data set in two layouts.

Invariant: a frame has what was sensed and done in one tick; a tick without an action, or without a reading of
every source, is left out. A world that starts again starts a new episode.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage.app.config.sage_config import SageConfig, load_config
from sage.app.session.build import Run, build_run
from sage.app.session.relays import check_watched
from sage.app.terminal.errors import UserError, nearest, user_errors
from sage.errors import SageError
from sage.gr00t_integration.dataset.writer import DatasetWriter
from sage.gr00t_integration.embodiment import Embodiment, load_embodiment
from sage.gr00t_integration.loop.mapping import ObservationMaker
from sage.mailbox.clock import Clock, ManualClock, RealClock
from sage.runtime.report import Event, SleepReport, TickReport

WATCHER = "groot record"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """video, state: "KEY=SOURCE", as of a sensor of kind `groot`.  effector: whose actions.  task: in words.
    overrides: of the configuration.  is_fast: on a simulated clock.
    """

    config: str
    out: Path
    embodiment: str
    video: Sequence[str]
    state: Sequence[str]
    effector: str
    task: str
    seconds: float
    overrides: Sequence[str] = ()
    is_fast: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFacts:
    num_episodes: int
    num_frames: int
    num_left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What a frame has. video, state: of the embodiment, by key: a source."""

    embodiment: Embodiment
    video: dict[str, str]
    state: dict[str, str]


class FrameRecorder:
    """An instrument that writes each tick's frame. error: the first one; the run then ends."""

    def __init__(
        self,
        run: Run,
        maker: ObservationMaker,
        writer: DatasetWriter,
        *,
        embodiment: Embodiment,
        effector: str,
        task: str,
    ) -> None:
        self.num_left_out = 0
        self.error: SageError | None = None
        self._run = run
        self._maker = maker
        self._writer = writer
        self._embodiment = embodiment
        self._effector = effector
        self._task = task

    def on_tick(self, report: TickReport) -> None:
        if self.error is not None:
            return
        try:
            self._record(report)
        except SageError as error:
            self.error = error
            self._run.loop.stop("recording failed")

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...

    def _record(self, report: TickReport) -> None:
        if any(world.reset > 0 for world in report.facts.acting):
            self._writer.end_episode(self._task)
        done = [fact.done for fact in report.facts.actions if fact.effector == self._effector and fact.done]
        if not done or self._maker.newest_ns() is None:
            self.num_left_out += 1
            return
        observation = self._maker.observation(self._task)
        self._writer.add(
            {view: frames[0, -1] for view, frames in observation.video.items()},
            np.concatenate([observation.state[name][0, -1] for name in self._embodiment.state.dims]),
            np.array(done[0], dtype=np.float64),
        )


def record(options: RecordOptions) -> RecordFacts:
    """Run and record. UserError where it cannot start, or nothing was recorded."""
    with user_errors("groot record"):
        video, state = _mapping(options.video, "--video"), _mapping(options.state, "--state")
        if not options.task.strip():
            raise UserError("--task: empty: give the instruction in words")
        config = load_config(options.config, [*options.overrides, "sleep.enabled=false"])
        embodiment = load_embodiment(options.embodiment)
        writer = DatasetWriter(options.out, embodiment, fps=_fps(config))
        with tempfile.TemporaryDirectory() as folder:
            wanted = _Wanted(embodiment=embodiment, video=video, state=state)
            return _record(options, config, wanted, writer, Path(folder) / "sleep")


def _record(
    options: RecordOptions, config: SageConfig, wanted: _Wanted, writer: DatasetWriter, folder: Path
) -> RecordFacts:
    clock: Clock = ManualClock() if options.is_fast else RealClock()
    run = build_run(config, clock, directory=folder)
    try:
        maker = ObservationMaker(
            wanted.embodiment,
            video=wanted.video,
            state=wanted.state,
            latest=run.world.context.latest,
            watcher=WATCHER,
        )
        check_watched(run.world.context.latest, [spec.name for spec in run.loop.layout.specs])
        names = run.loop.effector_gate.names
        if options.effector not in names:
            raise UserError(f"--effector {options.effector}: {nearest(options.effector, names)}")
        recorder = FrameRecorder(
            run, maker, writer, embodiment=wanted.embodiment, effector=options.effector, task=options.task
        )
        run.loop.observe(recorder)
        run.open()
        run.loop.run(until_ns=clock.now_ns() + round(options.seconds * 1e9))
    finally:
        run.close()
    if recorder.error is not None:
        raise recorder.error
    writer.end_episode(options.task)
    writer.close()
    return RecordFacts(
        num_episodes=writer.num_episodes, num_frames=writer.num_frames, num_left_out=recorder.num_left_out
    )


def _fps(config: SageConfig) -> int:
    rate_hz = config.tick.rate_hz
    if rate_hz != round(rate_hz):
        raise UserError(f"tick.rate_hz is {rate_hz:g}: give a whole number, as a data set needs")
    return round(rate_hz)


def _mapping(texts: Sequence[str], flag: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for key, sign, value in pairs:
        if not (key and sign and value):
            raise UserError(f"{flag} {key}{sign}{value}: give KEY=SOURCE")
    return {key: value for key, _, value in pairs}
