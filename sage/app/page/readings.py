"""What the page shows of readings: the pictures of sources, and the paths of worlds.

Invariant: a session without a page has none of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sage.app.page.paths import WorldPaths
from sage.app.page.pictures import Pictures
from sage.runtime.instruments import ReadingOf
from sage.runtime.report import Event, SleepReport, TickFacts, TickReport
from sage.sensors.contract import SensorSpec


class ReadingsFeed:
    """A ReadingsListener. specs: of the loop's sources, in order."""

    def __init__(
        self, specs: Sequence[SensorSpec] = (), *, real_secs: Callable[[], float] = time.monotonic
    ) -> None:
        self.pictures = Pictures(specs, real_secs=real_secs)
        self.paths = WorldPaths(specs)

    def on_readings(self, facts: TickFacts, reading_of: ReadingOf) -> None:
        self.pictures.take(reading_of)
        self.paths.take(facts.acting, reading_of)

    def on_tick(self, report: TickReport) -> None: ...

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...
