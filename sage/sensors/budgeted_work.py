"""Work that a device offers to the loop, to be done within the budget of a tick: imagination, for example.

A device posts its work while it is open. In every tick the loop asks what is due and gives it segments of
the same budget, in the same order, as puzzles and plans. Invariant: work does nothing outside `work`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from sage.hrm_core.solving.solutions import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkPiece:
    """num_segments: spent.  num_made: results.  outcome: how it ended, in the words of solving."""

    num_segments: int
    num_made: int
    outcome: Outcome


class BudgetedWork(Protocol):
    """All calls are made on the loop's thread. A call that raises, or returns another type, ends this work,
    until the device posts again.
    """

    @property
    def gain(self) -> float:
        """Expected of the next piece, for each segment, on the scale of a right answer's reward."""
        ...

    @property
    def trust(self) -> float:
        """In its results, from how earlier pieces ended, 0..1; NaN before the first."""
        ...

    def num_next(self, now_ns: int) -> int:
        """Segments that the next piece costs at least; 0 where none is due. now_ns: on the run's clock."""
        ...

    def work(self, most: int) -> WorkPiece:
        """One piece, of at most `most` segments; `most` is at least `num_next`. Never waits for a device."""
        ...


class WorkBoard:
    """The work of a run's devices by their names. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: dict[str, BudgetedWork] = {}

    def post(self, name: str, work: BudgetedWork) -> None:
        """Offer work from now on, in place of what `name` posted before."""
        with self._lock:
            self._work[name] = work

    def withdraw(self, name: str, work: BudgetedWork) -> None:
        """Without effect where `name` has posted something else meanwhile."""
        with self._lock:
            if self._work.get(name) is work:
                del self._work[name]

    def posted(self) -> tuple[tuple[str, BudgetedWork], ...]:
        """By name, in alphabetical order."""
        with self._lock:
            return tuple(sorted(self._work.items(), key=lambda item: item[0]))
