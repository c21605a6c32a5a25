"""What a puzzle environment and a solver send each other: fixed-size int32 tensors.

Invariant: a message is a header and `num_cells` cells, padded with zeros to the room of the largest puzzle of
the stream. L: cells of the puzzle, R >= L: room. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.errors import InputError

#: `SensorSpec.observes` and `EffectorSpec.target` of the three kinds of messages.
PUZZLE_QUANTITY = "puzzle"
RESULT_QUANTITY = "result"
ANSWER_TARGET = "puzzle"
#: Effect type of an answer: it changes nothing outside the environment.
ANSWER_EFFECT = "cognitive"
_PUZZLE_HEADER, _ANSWER_HEADER, _RESULT_HEADER = 3, 2, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Puzzle:
    """number: from 0, unique in its stream.  level: index in the stream's levels.  cells: (L,) int32."""

    number: int
    level: int
    cells: np.ndarray

    def write(self, out: np.ndarray) -> None:
        """out: (3 + R,) int32."""
        _write(out, (self.number, self.level), self.cells)

    @classmethod
    def read(cls, message: np.ndarray) -> Puzzle:
        number, level, cells = _read(message, _PUZZLE_HEADER, "puzzle")
        return cls(number=number, level=level, cells=cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """number: of the puzzle.  cells: (L,) int32; empty: the solver abstains."""

    number: int
    cells: np.ndarray

    def write(self, out: np.ndarray) -> None:
        """out: (2 + R,) int32."""
        _write(out, (self.number,), self.cells)

    @classmethod
    def read(cls, message: np.ndarray) -> Answer:
        number, cells = _read(message, _ANSWER_HEADER, "answer")
        return cls(number=number, cells=cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the environment says of an answer.

    is_right: it accepts the answer.  solution: (L,) int32 where a teacher shows one, else None; it may be
    wrong.
    """

    number: int
    level: int
    is_right: bool
    solution: np.ndarray | None

    def write(self, out: np.ndarray) -> None:
        """out: (5 + R,) int32."""
        empty = np.zeros(0, dtype=np.int32)
        header = (self.number, self.level, int(self.is_right), int(self.solution is not None))
        _write(out, header, empty if self.solution is None else self.solution)

    @classmethod
    def read(cls, message: np.ndarray) -> Result:
        number, level, is_right, has_solution, cells = _read(message, _RESULT_HEADER, "result")
        return cls(
            number=number,
            level=level,
            is_right=bool(is_right),
            solution=cells if has_solution else None,
        )


def message_size(kind: type[Puzzle] | type[Answer] | type[Result], room: int) -> int:
    """Numbers in a message of that kind for puzzles of up to `room` cells."""
    return {Puzzle: _PUZZLE_HEADER, Answer: _ANSWER_HEADER, Result: _RESULT_HEADER}[kind] + room


def _write(out: np.ndarray, header: tuple[int, ...], cells: np.ndarray) -> None:
    start = len(header) + 1
    if len(cells) > len(out) - start:
        raise InputError(f"{len(cells)} cells: the message has room for {len(out) - start}: give fewer")
    out[:] = 0
    out[: start - 1] = header
    out[start - 1] = len(cells)
    out[start : start + len(cells)] = cells


def _read(message: np.ndarray, header: int, kind: str) -> list[Any]:
    num = int(message[header - 1])
    if not 0 <= num <= len(message) - header:
        raise InputError(f"{kind} message: {num} cells in room for {len(message) - header}: it is damaged")
    cells = np.array(message[header : header + num], dtype=np.int32)
    return [*(int(value) for value in message[: header - 1]), cells]
