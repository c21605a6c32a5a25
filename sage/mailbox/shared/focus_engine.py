"""The rules of a shared pool as this process runs them: the frequent ones compiled where numba is, the rest as they stand.

Invariant: one source, and both ways on one pool at once are right, because both take its lock; nothing is compiled while
the lock is held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sage.mailbox.shared import focus_layout
from sage.mailbox.shared.engine import EngineName
from sage.mailbox.shared.segment import Segment

Rule = Callable[..., int]


class FocusEngine:
    """table: int64, and reals: float64 of the same memory, as the rules take them.

    steps: by rule, the compiled call that takes the lock as well; without compiler there are none.
    """

    def __init__(self, name: EngineName, segment: Segment) -> None:
        self.steps: dict[Any, Rule] = {}
        self.table: Any = segment.words
        self.reals: Any = memoryview(segment.memory).cast("d")
        if name == "numba":
            from sage.mailbox.shared.focus_compiled import STEPS

            self.steps = STEPS
            self.table = np.frombuffer(segment.memory, np.int64, focus_layout.CONTROL_WORDS)
            self.reals = self.table.view(np.float64)
