"""The schemes and canvases of a store by id, with their activations as columns.

Invariant: an activation is in 0..1 and never rises by itself. Every change gives a node the next sequence
number, which pages of a reading go by: a node that changes while it is read is not missed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from sage.related_work.totality.change import Kind, Node

_GROW = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """ids: oldest change first.  cursor: the sequence number to read on after; None at the end."""

    ids: tuple[str, ...]
    cursor: int | None


class NodeTable:
    """All nodes. Not thread-safe: the store holds its lock."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._rows: dict[str, int] = {}
        self._ids: list[str] = []
        self._free: list[int] = []
        self._activation = np.zeros(_GROW)
        self._stamp_ns = np.zeros(_GROW, np.int64)
        self._half_life_s = np.ones(_GROW)
        self._sequence = np.zeros(_GROW, np.int64)  # 0: a free row
        self._updated_ns = np.zeros(_GROW, np.int64)
        self._salience = np.zeros(_GROW)
        self._is_canvas = np.zeros(_GROW, bool)
        self.last_sequence = 0
        self.num_bytes = 0
        self.num_canvases = 0

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    @property
    def num_schemes(self) -> int:
        return len(self._nodes) - self.num_canvases

    def get(self, name: str) -> Node | None:
        return self._nodes.get(name)

    def put(self, node: Node) -> None:
        """Add or replace a node."""
        self.remove(node.id)
        row = self._free.pop() if self._free else self._new_row()
        self._nodes[node.id] = node
        self._rows[node.id] = row
        self._ids[row] = node.id
        self.last_sequence += 1
        self._sequence[row] = self.last_sequence
        self._updated_ns[row] = node.updated_ns
        self._salience[row] = node.salience
        self._is_canvas[row] = node.kind == "canvas"
        self.num_bytes += node.num_bytes
        self.num_canvases += node.kind == "canvas"
        self.set_activation(node.id, node.activation, node.stamp_ns, node.half_life_s)

    def remove(self, name: str) -> None:
        """Remove a node; nothing happens without one of this id."""
        node = self._nodes.pop(name, None)
        if node is None:
            return
        row = self._rows.pop(name)
        self._sequence[row] = 0
        self._free.append(row)
        self.num_bytes -= node.num_bytes
        self.num_canvases -= node.kind == "canvas"

    def set_activation(self, name: str, activation: float, stamp_ns: int, half_life_s: float) -> None:
        row = self._rows[name]
        self._activation[row] = min(max(activation, 0.0), 1.0)
        self._stamp_ns[row] = stamp_ns
        self._half_life_s[row] = half_life_s

    def activation(self, name: str, now_ns: int) -> float:
        """Decayed to `now_ns`; 0..1."""
        return float(self._decayed(np.array([self._rows[name]]), now_ns)[0])

    def sequence(self, name: str) -> int:
        """Of the node's last change."""
        return int(self._sequence[self._rows[name]])

    def half_life_s(self, name: str) -> float:
        return float(self._half_life_s[self._rows[name]])

    def activations(self, names: Collection[str], now_ns: int) -> dict[str, float]:
        """By id, decayed to `now_ns`."""
        rows = np.array([self._rows[name] for name in names], np.int64)
        return dict(zip(names, self._decayed(rows, now_ns).tolist()))

    def most_active(self, kind: Kind, minimum: float, limit: int, now_ns: int) -> list[str]:
        """Ids of a kind with at least `minimum`, the most active first, then the oldest change."""
        rows = self._matching(kind, minimum, 0, 0, now_ns)
        return [self._ids[row] for row in self._top(rows, limit, now_ns)]

    def mean_activation(self, kind: Kind, now_ns: int) -> float:
        """0 without a node of the kind."""
        rows = self._matching(kind, 0.0, 0, 0, now_ns)
        return float(self._decayed(rows, now_ns).mean()) if len(rows) else 0.0

    def page(
        self,
        *,
        kind: Kind | None,
        minimum: float,
        since_ns: int,
        after: int,
        limit: int,
        now_ns: int,
        by_activation: bool = False,
    ) -> Page:
        """Nodes changed after the cursor `after` and since `since_ns`, with at least `minimum` activation.

        by_activation: the most active first, instead of the oldest change first.
        """
        rows = self._matching(kind, minimum, since_ns, after, now_ns)
        if by_activation:
            return Page(ids=tuple(self._ids[row] for row in self._top(rows, limit, now_ns)), cursor=None)
        rows = self._oldest(rows, limit + 1)
        shown = rows[:limit]
        cursor = int(self._sequence[shown[-1]]) if len(rows) > limit else None
        return Page(ids=tuple(self._ids[row] for row in shown), cursor=cursor)

    def least_salient(self, kind: Kind, exempt: Collection[str], now_ns: int) -> Iterator[str]:
        """Ids of a kind, the first to evict first: by salience, then activation, then the oldest change."""
        rows = self._matching(kind, 0.0, 0, 0, now_ns)
        order = np.lexsort((self._sequence[rows], self._decayed(rows, now_ns), self._salience[rows]))
        for row in rows[order]:
            if self._ids[row] not in exempt:
                yield self._ids[row]

    def _matching(
        self, kind: Kind | None, minimum: float, since_ns: int, after: int, now_ns: int
    ) -> np.ndarray:
        """Rows, in no order."""
        mask = self._sequence > max(after, 0)
        if kind is not None:
            mask &= self._is_canvas == (kind == "canvas")
        if since_ns > 0:
            mask &= self._updated_ns >= since_ns
        rows = np.flatnonzero(mask)
        if minimum > 0.0:
            rows = rows[self._decayed(rows, now_ns) >= minimum]
        return rows

    def _oldest(self, rows: np.ndarray, limit: int) -> np.ndarray:
        """The first `limit` of `rows` in the order of their changes; only they are sorted."""
        sequence = self._sequence[rows]
        if len(rows) > limit:
            chosen = np.argpartition(sequence, limit - 1)[:limit]
            rows, sequence = rows[chosen], sequence[chosen]
        found: np.ndarray = rows[np.argsort(sequence)]
        return found

    def _top(self, rows: np.ndarray, limit: int, now_ns: int) -> np.ndarray:
        """The `limit` most active of `rows`, the most active first, then the oldest change."""
        activation = self._decayed(rows, now_ns)
        if len(rows) > limit:
            least = np.partition(activation, len(rows) - limit)[len(rows) - limit]
            is_candidate = activation >= least  # more than `limit` where several are equal
            rows, activation = rows[is_candidate], activation[is_candidate]
        found: np.ndarray = rows[np.lexsort((self._sequence[rows], -activation))[:limit]]
        return found

    def _decayed(self, rows: np.ndarray, now_ns: int) -> np.ndarray:
        """a 2^(-t / h); a stamp in the future counts as now, for example after the clock was set back."""
        age_s = np.maximum(now_ns - self._stamp_ns[rows], 0) * 1e-9
        decayed: np.ndarray = self._activation[rows] * np.exp2(
            -np.minimum(age_s / self._half_life_s[rows], 1e3)
        )
        return decayed

    def _new_row(self) -> int:
        row = len(self._ids)
        self._ids.append("")
        if row >= len(self._sequence):
            size = 2 * len(self._sequence)
            self._activation = np.resize(self._activation, size)
            self._stamp_ns = np.resize(self._stamp_ns, size)
            self._half_life_s = np.resize(self._half_life_s, size)
            self._sequence = np.concatenate([self._sequence, np.zeros(row, np.int64)])
            self._updated_ns = np.resize(self._updated_ns, size)
            self._salience = np.resize(self._salience, size)
            self._is_canvas = np.resize(self._is_canvas, size)
        return row
