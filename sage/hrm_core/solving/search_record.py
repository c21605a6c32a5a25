"""The nodes of a search, as training data and for display: partial answers, their parents, their ranks, which
were read, which are closed.

Invariant: nodes are numbered in the order in which they were made, a child after its parent; the puzzle is
node 0.
Shapes: N nodes, L cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class SearchRecord:
    """Filled by one search; empty where the puzzle needed none.

    answer: the node whose completion the rules accepted, None without one.
    """

    def __init__(self) -> None:
        self._partials: list[np.ndarray] = []
        self._parents: list[int] = []
        self._num_children: list[int] = []
        self._is_read: list[bool] = []
        self._ranks: list[float] = []
        self.answer: int | None = None

    def __len__(self) -> int:
        return len(self._partials)

    def add(self, partial: np.ndarray, *, parent: int, rank: float = 0.0) -> None:
        """The next node. parent: its number; -1 for the puzzle itself. rank: the highest is read first."""
        self._partials.append(partial)
        self._parents.append(parent)
        self._num_children.append(-1)
        self._is_read.append(False)
        self._ranks.append(rank)

    def note_read(self, number: int) -> None:
        """The model read the node."""
        self._is_read[number] = True

    def note_expanded(self, number: int, children: np.ndarray, ranks: Sequence[float] | None = None) -> None:
        """Add the children (K, L) of a node: all choices that may follow it and break no rule. ranks: K, by
        default 0.
        """
        self._num_children[number] = len(children)
        for partial, rank in zip(children, [0.0] * len(children) if ranks is None else ranks):
            self.add(partial, parent=number, rank=rank)

    @property
    def partials(self) -> np.ndarray:
        """(N, L) int32; at least the puzzle was added."""
        return np.stack(self._partials)

    @property
    def parents(self) -> np.ndarray:
        """(N,) int64."""
        return np.array(self._parents, np.int64)

    @property
    def ranks(self) -> np.ndarray:
        """(N,) float64."""
        return np.array(self._ranks, np.float64)

    @property
    def is_read(self) -> np.ndarray:
        """(N,) bool."""
        return np.array(self._is_read, bool)

    @property
    def is_closed(self) -> np.ndarray:
        """(N,) bool: by the rules no solution extends the node: every choice that follows it is closed."""
        num_open = np.array(self._num_children, np.int64)  # children that are not closed; -1: not expanded
        is_closed = np.zeros(len(self), bool)
        for number in range(len(self) - 1, -1, -1):  # a child has a higher number than its parent
            if num_open[number] == 0:
                is_closed[number] = True
                if number:
                    num_open[self._parents[number]] -= 1
        return is_closed
