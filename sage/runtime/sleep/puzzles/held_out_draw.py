"""Which held-out puzzles of a task a night asks: another set each night.

The same puzzles night after night would choose, of many candidates, those that are by chance better on them
(adaptive reuse of a holdout: Dwork et al. 2015, doi 10.1126/science.aaa9375).
Invariant: equal draws ask equal puzzles, none of which the task trains on; those that a session's summary
counts are left out where the task has others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.hrm_core.tasks.contract import Examples, Task
from sage.runtime.solving.examine import NUM_SUMMARISED

#: Of a task whose evaluation set is fixed, so many draws' worth of its puzzles are drawn from.
NUM_DRAWS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutDraw:
    """seed: numbers of 0 or more, others for each night.  first: puzzles that the night asks at first, 1 or
    more.  most: that it may ask in all.
    """

    seed: tuple[int, ...]
    first: int
    most: int

    def of(self, task: Task, num: int) -> Examples:
        """The first `num` of the draw, `first` to `most`, or all there are."""
        summarised = task.held_out(NUM_SUMMARISED)
        draw: Any = getattr(task, "draw_held_out", None)
        if draw is not None:
            found: Examples = draw(num, self.seed, summarised)
            if len(found) >= self.first:
                return found
        rows = task.held_out(NUM_SUMMARISED + NUM_DRAWS * self.most)
        rows = rows.take(slice(max(0, min(NUM_SUMMARISED, len(rows) - self.first)), None))
        return rows.take(np.random.default_rng(self.seed).permutation(len(rows))[:num])
