"""A graded stream of puzzles with a teacher (kind: puzzles).

Sensors: NAME.puzzle, NAME.result, NAME.reward (1 or 0), NAME.level (the index of the level in force, at the
start and at each move). Effector: NAME.answer. Invariants: a read never waits; equal seeds and equal answers
give equal readings; held-out puzzles of a generator are never posed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Examples
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Effector, Sensor, SensorContext, SensorError
from sage.sensors.environment import Level
from sage.sensors.environments.puzzle_channels import PERIOD_NS, PuzzleChannels
from sage.sensors.environments.puzzles.config import PuzzlesConfig
from sage.sensors.environments.puzzles.level_source import LevelSource
from sage.sensors.environments.puzzles.stream import PuzzleStream
from sage.sensors.puzzle_messages import Answer


class PuzzlesEnvironment:
    """See the module. A PuzzleEnvironment."""

    Config = PuzzlesConfig

    def __init__(self, config: PuzzlesConfig, context: SensorContext) -> None:
        self._config = config
        self._clock = context.clock
        self._sources = _sources(config, context)
        self._room = max(source.task.spec.seq_len for source in self._sources)
        self._stream: PuzzleStream | None = None
        self._state: Mapping[str, np.ndarray] | None = None
        self._channels = PuzzleChannels(
            config.name,
            self._clock,
            effect=config.effect,
            target=config.target,
            room=self._room,
            largest=max(source.task.spec.vocab_size for source in self._sources) - 1,
            next_puzzle=lambda: self.stream.next_puzzle(),
            take=self.take_answer,
            period_ns=_period_ns(config),
        )

    @property
    def levels(self) -> tuple[Level, ...]:
        return tuple(source.level for source in self._sources)

    @property
    def level(self) -> int:
        """Index of the level in force; SensorError while closed."""
        return self.stream.level

    @property
    def room(self) -> int:
        """Cells of the largest puzzle; messages have room for them."""
        return self._room

    def sensors(self) -> tuple[Sensor, ...]:
        return self._channels.sensors()

    def effectors(self) -> tuple[Effector, ...]:
        return self._channels.effectors()

    def held_out(self, level: int, num: int) -> Examples:
        """The first `num` (or all there are) puzzles of a level that the stream never poses, with solutions.

        For measuring; must not be trained on. InputError for a level from a file without a held-out side.
        """
        if not 0 <= level < len(self._sources):
            raise InputError(f"level is {level}: give 0 to {len(self._sources) - 1}")
        return self._sources[level].held_out(num)

    def open(self) -> None:
        if self._stream is not None:
            return
        self._stream = PuzzleStream(
            self._config,
            self._sources,
            is_ahead=not isinstance(self._clock, ManualClock),
            state=self._state,
        )
        self._state = None
        self._channels.clear()
        self._channels.put_level(self._stream.level)

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        self._channels.clear()

    def state(self) -> dict[str, np.ndarray]:
        """As Resumable."""
        return {} if self._stream is None else self._stream.state()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """As Resumable: level, counts and numbers go on; puzzles that were unanswered are not posed again."""
        num = len(self._sources)
        if len(state["num_batches"]) != num or not 0 <= int(state["level"][0]) < num:
            raise InputError(
                f"{self._config.name}: its state is of {len(state['num_batches'])} levels, it has {num}"
            )
        self._state = state

    @property
    def stream(self) -> PuzzleStream:
        """Of the open environment."""
        if self._stream is None:
            raise SensorError(f"{self._config.name}: used while closed: call open() first")
        return self._stream

    def take_answer(self, answer: Answer) -> bool:
        """Queue its result, reward and move of level; False for a puzzle that waits for no answer."""
        outcome = self.stream.answer(answer)
        if outcome is None:
            return False
        self._channels.put_result(outcome.result)
        if outcome.new_level is not None:
            self._channels.put_level(outcome.new_level)
        return True


def _period_ns(config: PuzzlesConfig) -> int:
    return PERIOD_NS if config.rate_hz is None else round(1e9 / config.rate_hz)


def _sources(config: PuzzlesConfig, context: SensorContext) -> tuple[LevelSource, ...]:
    """InputError in one line, which begins with the place in the configuration."""
    sources = []
    for index, level in enumerate(config.all_levels):
        place = f"levels.{index}: " if config.levels else ""
        try:
            source = LevelSource(level, index=index, seed=config.seed, base_dir=context.base_dir)
        except InputError as error:
            raise InputError(f"{config.name}: {place}{error}") from error
        if config.teacher_of(level) != "never" and not source.has_solutions:
            raise InputError(
                f"{config.name}: {place}{level.file} has no solutions: give a file with them, or set teacher:"
                " never"
            )
        sources.append(source)
    names = [source.level.name for source in sources]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{config.name}: two levels are called {twice!r}: give each a name")
    return tuple(sources)
