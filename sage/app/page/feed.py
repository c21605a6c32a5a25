"""What the page shows, kept up to date from the reports of a session.

Invariant: one append per tick on the loop's thread. Of reports beyond the queue's size only the totals are
kept, of the newest everything; all else is done on the thread that asks.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sage.app.live.inbox import CAPACITY, Inbox
from sage.app.live.state import LiveState
from sage.app.page.boards import StreamTrails
from sage.app.page.readings import ReadingsFeed
from sage.mailbox.clock import Clock, RealClock
from sage.mailbox.hub import HubStatistics
from sage.runtime.report import ActionFacts, Event, SleepReport, TickFacts, TickReport

_NUM_TIMINGS, _NUM_EVENTS, _NUM_MEMORIES = 512, 200, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """An experience that was stored. source: the most salient one of its tick, "" where none has a salience,
    with its surprise and its novelty, NaN where undefined.
    """

    tick: int
    secs: float
    salience: float
    source: str = ""
    surprise: float = math.nan
    novelty: float = math.nan

    @classmethod
    def of(cls, facts: TickFacts) -> Remembered:
        judged = [source for source in facts.sources if math.isfinite(source.salience)]
        about: dict[str, Any] = {
            "tick": facts.tick,
            "secs": facts.time_ns / 1e9,
            "salience": facts.memory.salience,
        }
        if not judged:
            return cls(**about)
        most = max(judged, key=lambda source: source.salience)
        return cls(**about, source=most.name, surprise=most.surprise, novelty=most.novelty)


class SessionFeed:
    """An Instrument. live, trails, total_ns, events, memories, actions: see `take_in`, which updates them;
    read them under `lock`. actions: the last of each effector, with its tick.

    title: the session's id.  about: constant facts of the session, for the page's first lines.
    period_ns: of a tick in the loop's present state; it changes with the state and with a reload.
    notices: called when the state is read; returns problems to show.  readings: an instrument of its own, so
    that a fault of it leaves the rest; None: no pictures and no paths.
    """

    def __init__(
        self,
        title: str,
        *,
        about: dict[str, Any] | None = None,
        period_ns: Callable[[], int] | None = None,
        notices: Callable[[], tuple[str, ...]] = tuple,
        mailboxes: Callable[[], HubStatistics] | None = None,
        readings: ReadingsFeed | None = None,
        real_clock: Clock | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.about = {"session": title, **(about or {})}
        self.live = LiveState(title=title)
        self.trails: dict[str, StreamTrails] = {}
        self.total_ns: deque[int] = deque(maxlen=_NUM_TIMINGS)
        self.events: deque[tuple[int, Event]] = deque(maxlen=_NUM_EVENTS)
        self.memories: deque[Remembered] = deque(maxlen=_NUM_MEMORIES)
        self.actions: dict[str, tuple[int, ActionFacts]] = {}
        self.period_ns = period_ns
        self.readings = readings or ReadingsFeed()
        self._num_events = 0
        self._notices = notices
        self._mailboxes = mailboxes
        self._real_clock = real_clock or RealClock()
        self._inbox = Inbox()

    def on_tick(self, report: TickReport) -> None:
        self._inbox.put(report)

    def on_sleep(self, report: SleepReport) -> None:
        self._inbox.put(report)

    def on_event(self, event: Event) -> None:
        self._inbox.put(event)

    def take_in(self, max_items: int = CAPACITY) -> bool:
        """Add up to `max_items` of the waiting reports; whether more are waiting."""
        with self.lock:
            for _ in range(max_items):
                found = self._inbox.take()
                if found is None:
                    return False
                skipped, item = found
                self.live.add(skipped)
                self._num_events += skipped.num_events
                self._take(item)
            return bool(self._inbox)

    def refresh(self) -> LiveState:
        """The state with its notices, mailboxes and speed as of now. Hold `lock` while reading it."""
        with self.lock:
            self.live.notices = self._notices()
            if self._mailboxes is not None:
                self.live.mailboxes = self._mailboxes()
            self.live.measure_speed(self._real_clock.now_ns())
            return self.live

    def _take(self, item: TickReport | SleepReport | Event) -> None:
        self.live.take(item)
        if isinstance(item, Event):
            self._num_events += 1
            self.events.append((self._num_events, item))
        elif isinstance(item, TickReport):
            self.total_ns.append(item.timing.total_ns)
            if item.facts.memory.is_kept:
                self.memories.append(Remembered.of(item.facts))
            for action in item.facts.actions:
                self.actions[action.effector] = (item.facts.tick, action)
            for facts in item.facts.solving:
                self.trails.setdefault(facts.stream, StreamTrails()).take(item.facts.tick, facts)
