"""SIGINT and SIGTERM end a run between two steps, never while weights are being changed.

Evaluating and waiting for rows change no weights: a signal ends them at once (`raising`). Invariant: the
previous handlers are restored when the `with` ends, and after the first signal, so that a second one has its
usual effect. The command line turns SIGHUP into SIGTERM (sage.app.terminal.signals).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from sage.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """number: of the first signal that arrived, None before. Outside the main thread Python delivers none."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._is_raising = False
        self._before: dict[signal.Signals, Any] = {}

    @property
    def is_requested(self) -> bool:
        return self.number is not None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._request) for each in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    @contextmanager
    def raising(self) -> Iterator[None]:
        """A signal inside this block, or before it, raises Interrupted."""
        self._is_raising = True
        try:
            if self.is_requested:
                raise Interrupted
            yield
        finally:
            self._is_raising = False

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()
        if self._is_raising:
            raise Interrupted

    def _restore(self) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}
