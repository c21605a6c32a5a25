"""The puzzles in hand as their answers form, from the reports of ticks.

Invariant: bounded, NUM_STEPS answers a puzzle and NUM_ENDED ended puzzles a stream.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from sage.app.report.boards import columns_of, level_of
from sage.runtime.report import SolvingFacts

NUM_STEPS, NUM_ENDED = 24, 6


@dataclass(slots=True)
class Trail:
    """One puzzle. cells: as given.  answers: (tick, answer) each time that the answer changed.
    verdict: "right", "wrong", "abstained", or "" while there is no result.
    """

    number: int
    level: str
    cells: tuple[int, ...]
    answers: deque[tuple[int, tuple[int, ...]]] = field(default_factory=lambda: deque(maxlen=NUM_STEPS))
    verdict: str = ""

    def plain(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "level": self.level,
            "columns": columns_of(len(self.cells), self.level),
            "cells": list(self.cells),
            "verdict": self.verdict,
            "steps": [{"tick": tick, "answer": list(answer)} for tick, answer in self.answers],
        }


class StreamTrails:
    """The puzzle in hand of one stream, and the last ones that were shown until they had a result."""

    def __init__(self) -> None:
        self._current: Trail | None = None
        self._ended: deque[Trail] = deque(maxlen=NUM_ENDED)

    def take(self, tick: int, facts: SolvingFacts) -> None:
        self._show(tick, facts)
        for answer in facts.answers:
            for trail in (self._current, *self._ended):
                if trail is not None and trail.number == answer.number:
                    trail.level = facts.levels[answer.level].name
                    trail.verdict = _verdict(answer.is_abstained, answer.is_right)

    def plain(self) -> dict[str, Any]:
        current = None if self._current is None else self._current.plain()
        return {"current": current, "ended": [trail.plain() for trail in reversed(self._ended)]}

    def _show(self, tick: int, facts: SolvingFacts) -> None:
        if not facts.board_answer or len(facts.board_answer) != len(facts.board_cells):
            return
        trail = self._current
        if trail is None or trail.number != facts.board_number or trail.cells != facts.board_cells:
            if trail is not None:
                self._ended.append(trail)
            names = [level.name for level in facts.levels]
            level = level_of(len(facts.board_cells), names)
            trail = self._current = Trail(facts.board_number, level, facts.board_cells)
        if not trail.answers or trail.answers[-1][1] != facts.board_answer:
            trail.answers.append((tick, facts.board_answer))


def _verdict(is_abstained: bool, is_right: bool) -> str:
    return "abstained" if is_abstained else "right" if is_right else "wrong"
