"""CUDA graphs on leased memory: one captured graph for each slot, replayed between loan and publish.

A graph has addresses in it, and a mailbox hands out a different slot each time; but a slot's address never
changes. While one is captured other threads may ask whether events have passed, so capture in thread-local
mode where there are
any: torch.cuda.graph(..., capture_error_mode="thread_local").
Invariant: all bookkeeping (loan, publish, receive, release) is the host's and stays outside the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sage.mailbox.handles import Lease, Loan


class Replayable(Protocol):
    """What torch.cuda.CUDAGraph is, and any other captured graph with a replay."""

    def replay(self) -> object: ...


class SlotGraphs:
    """capture: given the slot's tensor, captures the work on it and returns the graph. It must not keep the
    tensor.

    At most one graph for each slot is ever captured; `num_captured` says how many there are.
    """

    def __init__(self, capture: Callable[[Any], Replayable]) -> None:
        self._capture = capture
        self._graphs: dict[tuple[int, tuple[int, ...], str], Replayable] = {}

    @property
    def num_captured(self) -> int:
        return len(self._graphs)

    def replay(self, handle: Loan | Lease) -> None:
        """Queue the work on the current stream, after what the mailbox makes that stream wait for."""
        tensor = handle.tensor  # orders this stream after earlier work on the slot, captured or replayed
        key = (tensor.data_ptr(), tuple(tensor.shape), str(tensor.dtype))
        graph = self._graphs.get(key)
        if graph is None:
            graph = self._graphs[key] = self._capture(tensor)
        del tensor
        graph.replay()
