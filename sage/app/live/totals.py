"""Totals of reports of which nothing else is shown.

Invariant: constant time a report, bounded by the number of devices that work within the tick's budget.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sage.app.live.work import WorkSums
from sage.runtime.report import Event, SleepReport, TickReport


@dataclass(slots=True)
class LiveTotals:
    """sleep: the last one.  work: of each device."""

    num_ticks: int = 0
    num_overruns: int = 0
    num_events: int = 0
    num_sleeps: int = 0
    sleep: SleepReport | None = None
    work: dict[str, WorkSums] = field(default_factory=dict)

    @property
    def has_any(self) -> bool:
        return bool(self.num_ticks or self.num_events or self.num_sleeps)

    def take(self, item: TickReport | SleepReport | Event) -> None:
        """One report."""
        match item:
            case TickReport():
                self.num_ticks += 1
                self.num_overruns += item.timing.is_overrun
                for work in item.facts.work:
                    self.work.setdefault(work.name, WorkSums(facts=work)).take(work)
            case SleepReport():
                self.sleep, self.num_sleeps = item, self.num_sleeps + 1
            case Event():
                self.num_events += 1
