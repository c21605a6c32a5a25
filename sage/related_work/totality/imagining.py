"""Imagination within the budget of the loop: canvases of a store in this process, one by one.

Invariant: one application of an operation costs one segment, also where no canvas comes of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sage.related_work.totality.errors import NothingMade
from sage.related_work.totality.messages import MAX_CALLS, ImagineRequest, OpCall
from sage.related_work.totality.store import TotalityStore
from sage.sensors.budgeted_work import WorkPiece


class Imagining:
    """calls: the operations that make one canvas.  count: canvases a period.  gain: of a canvas that is made,
    on the scale of a right answer's reward. A canvas that could not be made ends the period's work.
    InputError for an operation or a parameter that does not exist.
    """

    def __init__(
        self, store: TotalityStore, calls: Sequence[OpCall], *, count: int, period_ns: int, gain: float
    ) -> None:
        for call in calls:
            store.operations.get(call.op).check(call.params)
        self._store = store
        self._calls = tuple(calls)
        self._count = count
        self._period_ns = period_ns
        self._gain = gain
        self._due_ns = 0
        self._num_left = 0

    @property
    def trust(self) -> float:
        return self._store.endings.trust

    @property
    def gain(self) -> float:
        """Times the trust in imagination, shared by the segments of a canvas."""
        trust = self.trust
        return self._gain * (1.0 if math.isnan(trust) else trust) / len(self._calls)

    def num_next(self, now_ns: int) -> int:
        if not self._num_left and now_ns >= self._due_ns:
            self._num_left = self._count
            self._due_ns = max(self._due_ns, now_ns) + self._period_ns
        return len(self._calls) if self._num_left else 0

    def work(self, most: int) -> WorkPiece:
        """One canvas, or none."""
        request = ImagineRequest(ops=self._calls, max_calls=min(most, MAX_CALLS))
        try:
            reply = self._store.imagine(request)
        except NothingMade as error:
            self._num_left = 0
            return WorkPiece(num_segments=error.num_calls, num_made=0, outcome=error.outcome)
        self._num_left -= 1
        return WorkPiece(num_segments=reply.budget.calls, num_made=len(reply.created), outcome=reply.outcome)
