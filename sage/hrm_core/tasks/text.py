"""Plain text, byte by byte: the next byte from those before, for causal models.

Invariant: the last tenth of the file is held out, and no training window reaches into it. Cells are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import IGNORED, Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.split import without_ids

NUM_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """path: a file of any text.  length: bytes a window."""

    path: str = ""
    length: int = 128

    def __post_init__(self) -> None:
        if not self.path:
            raise InputError("path is missing: give a text file")
        if not 2 <= self.length <= 65536:
            raise InputError(f"length is {self.length}: give 2 to 65536")


class TextTask:
    """Windows of a file: at random places to train on, one after another to evaluate."""

    def __init__(self, config: TextConfig) -> None:
        self.config = config
        try:
            whole = np.frombuffer(Path(config.path).read_bytes(), np.uint8)
        except OSError as error:
            raise InputError(f"{config.path}: cannot be read: {error}: give a text file") from error
        least = 10 * (config.length + 1) + 10
        if len(whole) < least:
            raise InputError(f"{config.path}: {len(whole)} bytes: give {least} or more, or a shorter length")
        self._train, self._dev = np.split(whole, [len(whole) * 9 // 10])

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(name="text", vocab_size=NUM_BYTES, seq_len=self.config.length, is_causal=True)

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        return self._windows(self._train, rng.integers(0, len(self._train) - self.config.length, size=num))

    def held_out(self, num: int) -> Examples:
        starts = np.arange(0, len(self._dev) - self.config.length, self.config.length)[:num]
        return self._windows(self._dev, starts)

    def _windows(self, source: np.ndarray, starts: np.ndarray) -> Examples:
        cells = source[starts[:, None] + np.arange(self.config.length + 1)]
        return without_ids(cells[:, :-1], cells[:, 1:])

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Every byte but the last, whose successor the inputs do not show."""
        is_right: np.ndarray = (answers[:, :-1] == inputs[:, 1:]).all(axis=1)
        return is_right

    def scores(self, examples: Examples, answers: np.ndarray) -> dict[str, np.ndarray]:
        counts = examples.labels != IGNORED
        return {"bytes_right": ((examples.labels == answers) & counts).sum(axis=1) / counts.sum(axis=1)}

    def baseline(self, inputs: np.ndarray) -> Baseline:
        """The byte that most often follows this one in training."""
        follows = np.zeros((NUM_BYTES, NUM_BYTES), np.int64)
        np.add.at(follows, (self._train[:-1], self._train[1:]), 1)
        return Baseline(name="the usual next byte", answers=follows.argmax(axis=1)[inputs].astype(np.int32))

    def encode(self, text: str) -> np.ndarray:
        codes = np.frombuffer(text.encode(), np.uint8)
        if len(codes) != self.config.length:
            raise InputError(f"the text has {len(codes)} bytes: give {self.config.length}")
        return codes.astype(np.int32)

    def decode(self, cells: np.ndarray) -> str:
        return bytes(np.clip(cells, 0, 255).astype(np.uint8)).decode(errors="replace")

    def render(self, cells: np.ndarray) -> str:
        return self.decode(cells)
