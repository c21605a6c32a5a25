"""Training rows in an order that depends only on the seed, prefetched by a thread.

Invariant: the n-th row does not depend on the number of rows per call or on a resume; a checkpoint contains
the generator's state before the current block and the number of its rows already taken.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sage.errors import InputError, pass_on
from sage.hrm_core.tasks.contract import Examples, Task, check_examples
from sage.hrm_core.training.errors import LoaderError

_NUM_AHEAD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """rows, and the generator's state before they were drawn."""

    rows: Examples
    state: dict[str, Any]


class RowSource(Protocol):
    def take(self, num: int) -> Examples:
        """The next `num` training rows."""
        ...


class RowStream:
    """`take(n)` returns the next n training rows of a task. Use it in a `with`, which ends its thread.

    waiting: a context manager around each wait for rows; an exception that it raises leaves the position
    unchanged.
    """

    def __init__(
        self,
        task: Task,
        *,
        block_size: int,
        seed: int,
        timeout_secs: float = 300.0,
        state: dict[str, Any] | None = None,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._task = task
        self._block_size = block_size
        self._timeout_secs = timeout_secs
        self._waiting = waiting
        rng = np.random.default_rng(seed)
        num_skipped = 0
        if state is not None:
            rng.bit_generator.state, num_skipped = state["generator"], int(state["num_taken"])
            if state["block_size"] != block_size:
                raise InputError(
                    f"block_size is {block_size}, in the checkpoint {state['block_size']}: use the same"
                    " batch size"
                )
        self._blocks: queue.Queue[_Block | BaseException] = queue.Queue(_NUM_AHEAD)
        self._is_closing = threading.Event()
        self._block: _Block | None = None
        self._num_taken = 0
        self._thread = threading.Thread(target=self._draw, args=(rng,), name="training rows", daemon=True)
        self._thread.start()
        if num_skipped:
            self.take(num_skipped)

    def take(self, num: int) -> Examples:
        """The next `num` rows. Raises LoaderError if the task raised an error or returned no rows in time."""
        before = self._block, self._num_taken
        try:
            return self._take(num)
        except BaseException:
            self._block, self._num_taken = before
            raise

    def _take(self, num: int) -> Examples:
        parts: list[Examples] = []
        while num > 0 or not parts:
            if self._block is None or self._num_taken == self._block_size:
                self._block, self._num_taken = self._next_block(), 0
            part = self._block.rows.take(slice(self._num_taken, self._num_taken + num))
            self._num_taken += len(part)
            num -= len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else _joined(parts)

    def state(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        if self._block is None:
            self._block = self._next_block()
        return {"generator": self._block.state, "num_taken": self._num_taken, "block_size": self._block_size}

    def close(self) -> None:
        """End the thread. A thread inside a long block, or hung, is a daemon and does not delay the exit."""
        self._is_closing.set()
        while not self._blocks.empty():  # make room: the thread may be blocked in put
            self._blocks.get_nowait()
        self._thread.join(timeout=1.0)

    def __enter__(self) -> RowStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next_block(self) -> _Block:
        try:
            with self._waiting():
                block = self._blocks.get(timeout=self._timeout_secs)
        except queue.Empty:
            raise LoaderError(
                f"task {self._task.spec.name}: no training rows for {self._timeout_secs:g} s: the task"
                " hangs, or loader_timeout_secs is too short"
            ) from None
        if isinstance(block, BaseException):
            self._blocks.put(block)  # every later call raises it too
            raise LoaderError(f"task {self._task.spec.name} failed to draw training rows: {block}") from block
        return block

    def _draw(self, rng: np.random.Generator) -> None:
        """The thread: draws blocks until closed. What it raises goes into the queue in place of a block."""
        try:
            while not self._is_closing.is_set():
                state = rng.bit_generator.state
                rows = self._task.sample(self._block_size, rng)
                if len(rows) != self._block_size:
                    raise InputError(
                        f"{len(rows)} rows instead of {self._block_size}: sample(num, rng) must return num"
                        " rows"
                    )
                check_examples(rows, self._task.spec)
                self._blocks.put(_Block(rows=rows, state=dict(state)))
        except BaseException as error:  # the top of a worker: raised again on its owner's next call
            self._blocks.put(error)


def check_rows(task: Task, seed: int) -> None:
    """LoaderError where `task` cannot draw a training row."""
    try:
        rows = task.sample(1, np.random.default_rng(seed))
        num = len(rows)
        if num == 1:
            check_examples(rows, task.spec)
    except BaseException as error:  # a task may be a plug-in
        pass_on(error)
        raise LoaderError(f"task {task.spec.name} failed to draw training rows: {error}") from error
    if num != 1:
        raise LoaderError(f"task {task.spec.name}: {num} rows instead of 1: it has no training rows")


def _joined(parts: list[Examples]) -> Examples:
    return Examples(
        inputs=np.concatenate([part.inputs for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        puzzle_ids=np.concatenate([part.puzzle_ids for part in parts]),
    )
