"""Reads the messages of one puzzle environment, each once and in order.

Invariant: a damaged message is dropped, counted and reported; it never stops the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from sage.errors import InputError
from sage.runtime.solving.stream import PuzzleStream
from sage.sensors.driver.sensor_driver import SensorDriver
from sage.sensors.puzzle_messages import Puzzle, Result

MessageT = TypeVar("MessageT")
#: Messages of one sensor that one tick reads at most.
MAX_MESSAGES = 64


class StreamMessages:
    """The drivers of a stream's sensors. on_event(kind, message): a status change, or a damaged message."""

    def __init__(self, stream: PuzzleStream, on_event: Callable[[str, str], None]) -> None:
        self._puzzle = stream.puzzle
        self._result = stream.result
        self._reward = stream.reward
        self._level = stream.level
        drivers = (stream.puzzle, stream.result, stream.reward, stream.level)
        self._drivers = tuple(driver for driver in drivers if driver is not None)
        self._statuses = ["starting"] * len(self._drivers)
        self._on_event = on_event
        self.num_damaged = 0

    def start(self) -> None:
        for driver in self._drivers:
            driver.start()

    def close(self) -> None:
        for driver in self._drivers:
            driver.close()

    def poll(self, now_ns: int) -> None:
        for index, driver in enumerate(self._drivers):
            driver.poll(now_ns)
            state = driver.state()
            if state.status != self._statuses[index]:
                reason = f": {state.last_error}" if state.last_error else ""
                name = driver.spec.name
                self._on_event("source", f"{name}: {self._statuses[index]} -> {state.status}{reason}")
                self._statuses[index] = state.status

    def results(self) -> Iterator[Result]:
        for message in self._read(self._result, MAX_MESSAGES):
            result = self._parsed(Result.read, message)
            if result is not None:
                yield result

    def puzzles(self, num: int) -> Iterator[Puzzle]:
        """At most `num`; the others stay in the mailbox."""
        for message in self._read(self._puzzle, min(num, MAX_MESSAGES)):
            puzzle = self._parsed(Puzzle.read, message)
            if puzzle is not None:
                yield puzzle

    def reward(self) -> float:
        """Sum of the rewards that came since the last call."""
        return float(sum(message.sum() for message in self._read(self._reward, MAX_MESSAGES)))

    def level(self) -> int | None:
        """Index of the level in force, if a move came since the last call."""
        if self._level is None:
            return None
        moves = [int(message[0]) for message in self._read(self._level, MAX_MESSAGES)]
        return moves[-1] if moves else None

    def _read(self, driver: SensorDriver, num: int) -> Iterator[np.ndarray]:
        """Copies of the next readings."""
        for _ in range(num):
            lease = driver.read_next()
            if lease is None:
                return
            with lease:
                message = np.array(lease.array)
            yield message

    def _parsed(self, parse: Callable[[np.ndarray], MessageT], message: np.ndarray) -> MessageT | None:
        try:
            return parse(message)
        except InputError as error:
            self.num_damaged += 1
            self._on_event("fault", str(error))
            return None
