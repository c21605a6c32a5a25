"""One trial of the loop in a world of configs/gym.yaml, on a manual clock, and its examination.

Invariant: only what the action head did is learned from; the examination acts by the policy's mode, with
practice and exploration off, on episodes that begin in it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import harness

from sage.app.config.sage_config import load_config
from sage.app.session.build import Run, build_run
from sage.mailbox.clock import ManualClock
from sage.runtime.report import Event, SleepReport, TickReport

CONFIG = harness.ROOT / "configs" / "gym.yaml"
CHUNK_TICKS = 100
NUM_RECENT = 20


@dataclass(slots=True)
class Trial:
    """What one arm did with one seed.

    curve: (CPU seconds, ticks, median return of the last 20 episodes) while it learned.
    returns: of the examination's episodes.
    """

    arm: str
    seed: int
    num_parameters: int
    num_ticks: int = 0
    num_steps: int = 0
    num_episodes: int = 0
    cpu_secs: float = 0.0
    curve: list[tuple[float, int, float]] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)

    @property
    def median(self) -> float | None:
        return statistics.median(self.returns) if self.returns else None


class Returns:
    """An instrument: the returns of the episodes that ended."""

    def __init__(self) -> None:
        self.ended: list[float] = []

    def on_tick(self, report: TickReport) -> None:
        for world in report.facts.acting:
            if world.num_episodes > len(self.ended):
                self.ended.append(world.last_return)

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When an arm stops learning: CPU seconds, or that median return of the last 20 episodes.

    num_episodes: of the examination.  max_ticks: of the examination, for a policy whose episodes do not end.
    """

    cpu_secs: float
    enough: float
    num_episodes: int = 20
    max_ticks: int = 12_000


def train(overrides: Sequence[str], seed: int, limits: Limits, show: Callable[[Trial], None]) -> Trial:
    """Learn, then be examined. show: called with the trial so far, now and then."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run, returns = _open(overrides, seed, folder, stack)
        model = run.loop.reasoner.model
        trial = Trial("loop", seed, sum(weight.numel() for weight in model.parameters()))
        next_secs = 0.0
        while trial.cpu_secs < limits.cpu_secs:
            started = time.process_time()
            run.loop.run(num_ticks=CHUNK_TICKS)
            trial.cpu_secs += time.process_time() - started
            trial.num_ticks, trial.num_episodes = run.loop.tick_count, len(returns.ended)
            trial.num_steps = run.loop.between_ticks.practice.num_steps
            recent = returns.ended[-NUM_RECENT:]
            if not recent:
                continue
            median = statistics.median(recent)
            if trial.cpu_secs >= next_secs:
                trial.curve.append((trial.cpu_secs, trial.num_ticks, median))
                next_secs = trial.cpu_secs + limits.cpu_secs / 60
                show(trial)
            if len(recent) == NUM_RECENT and median >= limits.enough:
                trial.curve.append((trial.cpu_secs, trial.num_ticks, median))
                break
        trial.returns = _examine(run, returns, limits)
    return trial


def _open(overrides: Sequence[str], seed: int, folder: Path, stack: ExitStack) -> tuple[Run, Returns]:
    world = "room" if any("room.enabled=true" in each for each in overrides) else "cart"
    seeds = [f"seed={seed}", f"environments.{world}.seed={seed}"]
    config = load_config(CONFIG, [*overrides, *seeds])
    returns = Returns()
    run = build_run(config, ManualClock(), directory=folder / "sleep", instruments=[returns])
    stack.callback(run.close)
    run.open()
    return run, returns


def _examine(run: Run, returns: Returns, limits: Limits) -> list[float]:
    """The returns of whole episodes, the first of which is left out as it began while learning."""
    run.loop.actor.explores = False
    run.loop.between_ticks.practice.is_enabled = False
    first = len(returns.ended) + 1
    stop = run.loop.tick_count + limits.max_ticks
    while len(returns.ended) < first + limits.num_episodes and run.loop.tick_count < stop:
        run.loop.run(num_ticks=CHUNK_TICKS)
    return returns.ended[first : first + limits.num_episodes]


def num_parameters(overrides: Sequence[str]) -> int:
    """Weights of the loop's model."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        run, _ = _open(overrides, 0, Path(folder), stack)
        return sum(weight.numel() for weight in run.loop.reasoner.model.parameters())
