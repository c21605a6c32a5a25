"""CUDA graphs on leased memory: one captured graph for each slot, replayed between loan and publish.

A graph contains addresses, and a mailbox returns a different slot each time; but a slot's address never
changes. During a capture other threads may query events, so capture in thread-local mode if there are any:
torch.cuda.graph(..., capture_error_mode="thread_local").
Invariant: loan, publish, receive and release run on the host, outside the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sage.mailbox.handles import Lease, Loan


class Replayable(Protocol):
    """A captured graph: torch.cuda.CUDAGraph, or any other with `replay`."""

    def replay(self) -> object: ...


class SlotGraphs:
    """capture: takes the slot's tensor, captures the work on it and returns the graph. It must not keep the
    tensor.

    At most one graph is captured per slot and spec; `num_captured` is their number.
    """

    def __init__(self, capture: Callable[[Any], Replayable]) -> None:
        self._capture = capture
        self._graphs: dict[tuple[int, tuple[int, ...], str], Replayable] = {}

    @property
    def num_captured(self) -> int:
        return len(self._graphs)

    def replay(self, handle: Loan | Lease) -> None:
        """Queue the work on the current stream, ordered after earlier work on the slot."""
        tensor = handle.tensor  # orders this stream after earlier work on the slot, captured or replayed
        key = (tensor.data_ptr(), tuple(tensor.shape), str(tensor.dtype))
        graph = self._graphs.get(key)
        if graph is None:
            graph = self._graphs[key] = self._capture(tensor)
        del tensor
        graph.replay()
