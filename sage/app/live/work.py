"""The work of devices within the budget of ticks, as the live view shows it: imagination, for example."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from sage.app.terminal import figures
from sage.runtime.scheduling.work_facts import WorkFacts


@dataclass(slots=True)
class WorkSums:
    """Of one device. facts: of the last tick.  num_segments, num_made: since the view began.  skips: ticks
    without a segment, by reason; there are a few reasons.
    """

    facts: WorkFacts
    num_segments: int = 0
    num_made: int = 0
    skips: Counter[str] = field(default_factory=Counter)

    def take(self, facts: WorkFacts) -> None:
        """One tick."""
        self.facts = facts
        self.num_segments += facts.num_segments
        self.num_made += facts.num_made
        if facts.skipped:
            self.skips[facts.skipped] += 1

    def add(self, later: WorkSums) -> None:
        """The sums of the ticks that followed."""
        self.facts = later.facts
        self.num_segments += later.num_segments
        self.num_made += later.num_made
        self.skips.update(later.skips)

    def text(self) -> str:
        """One line."""
        parts = [f"{self.num_segments:,} segments, {self.num_made:,} results"]
        if math.isfinite(self.facts.work_trust):
            parts.append(f"trust {figures.number(self.facts.work_trust)}")
        if self.skips:
            reasons = ", ".join(f"{word} {num:,}" for word, num in self.skips.most_common(3))
            parts.append(f"ticks without: {reasons}")
        return ", ".join(parts)
