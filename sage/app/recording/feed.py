"""What a session does, as messages to a sink: every reading, fault and text of every source, and all reports.

Invariant: the loop's thread and the devices' threads copy into a bounded queue and go on; what does not fit
is counted. One thread of its own makes the messages and writes them; when the sink fails, it stops, and the
session goes on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import structlog

from sage.app.config.sage_config import SageConfig
from sage.app.recording.channels import MessageSink
from sage.app.recording.items import Item, Log, Readings, Reported, Status, Text
from sage.app.recording.messages import Messages
from sage.app.session.attachments import SessionStart
from sage.app.session.build import Run
from sage.errors import SageError, pass_on
from sage.mailbox.clock import Clock, ManualClock
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.report import Event, SleepReport, TickReport
from sage.sensors.board import AnswerText, Board
from sage.sensors.contract import Reading, SensorSpec
from sage.sensors.driver.sensor_driver import SensorDriver

log = structlog.get_logger("sage.app")
#: Of the queue: bytes of readings, and items.
MAX_BYTES, MAX_ITEMS = 64 << 20, 65_536
#: How long the thread waits for more.
PAUSE_SECS = 0.1
#: How long `close` waits for what is queued.
CLOSE_SECS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedStatistics:
    """num_dropped: messages for which the queue had no room, or that came after the sink had failed.
    num_unwritable: messages that no form of the sink holds, such as a reading with a quality of NaN.
    problem: why the sink failed, "" when it did not.
    """

    num_messages: int
    num_dropped: int
    num_unwritable: int
    problem: str


class SourceTap:
    """A ReadingTap of one source."""

    def __init__(self, source: str, put: Callable[[Item, int], None]) -> None:
        self._source = source
        self._put = put

    def take(self, values: np.ndarray, reading: Reading, read_ns: int) -> None:
        self._put(Readings(self._source, values.copy(), reading, read_ns), values.nbytes)

    def note_fault(self, message: str, at_ns: int) -> None:
        self._put(Status(self._source, "fault", message, at_ns), 0)

    def note_end(self, at_ns: int) -> None:
        self._put(Status(self._source, "end", "", at_ns), 0)


class RunFeed:
    """An Instrument, with taps on the drivers. make_sink: called at the session's start, with its wall time
    in ns; raises UserError.  jpeg: pictures are stored as JPEG.
    """

    def __init__(
        self, make_sink: Callable[[SessionStart, int], MessageSink], *, jpeg: bool = False, name: str
    ) -> None:
        self._make_sink = make_sink
        self._jpeg = jpeg
        self._name = name
        self._queue: deque[tuple[Item, int]] = deque()
        self._num_bytes = 0
        self._num_dropped = 0
        self._num_unwritable = 0
        self._warned: set[str] = set()  # sources
        self._problem = ""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_closing = False
        self._messages: Messages | None = None
        self._clock: Clock | None = None
        self._isolated: list[tuple[SensorDriver, int]] = []
        self._run: Run | None = None
        self._thread = threading.Thread(target=self._work, name=f"sage-{name}", daemon=True)

    def prepare(self, config: SageConfig, run: Run, clock: Clock) -> None:
        """Attach to the drivers of the run."""
        self._run, self._clock = run, clock
        isolated = {each.name for each in config.enabled_sensors if each.config.isolate}
        for driver in self._drivers():
            driver.attach_tap(SourceTap(driver.spec.name, self._put))
            if driver.spec.name in isolated and not isinstance(clock, ManualClock):
                run.world.context.latest.watch(driver.spec.name, self._name)
                self._isolated.append((driver, -1))
        board = run.world.context.board
        if isinstance(board, Board):
            board.on_text = (
                self._note_text if board.on_text is None else _both(board.on_text, self._note_text)
            )

    def begin(self, start: SessionStart) -> RunFeed:
        clock, run = start.clock, start.run
        epoch_ns = run.world.context.epoch_ns
        start_ns = time.time_ns() - (clock.now_ns() - epoch_ns)
        sink = self._make_sink(start, start_ns)
        self._messages = Messages(
            sink,
            [driver.spec for driver in self._drivers()],
            epoch_ns=epoch_ns,
            start_ns=start_ns,
            loop_epoch_ns=run.loop.epoch_ns,
            jpeg=self._jpeg,
        )
        self._thread.start()
        return self

    def on_tick(self, report: TickReport) -> None:
        self._take_isolated()
        self._put(Reported(report), 0)

    def on_sleep(self, report: SleepReport) -> None:
        self._put(Reported(report, self._now_ns()), 0)

    def on_event(self, event: Event) -> None:
        self._put(Log(event, self._now_ns()), 0)

    def on_coherence(self, rows: tuple[CoherenceRow, ...]) -> None:
        for row in rows:
            self._put(Reported(row), 0)

    def statistics(self) -> FeedStatistics:
        num = 0 if self._messages is None else self._messages.num_written
        return FeedStatistics(
            num_messages=num,
            num_dropped=self._num_dropped,
            num_unwritable=self._num_unwritable,
            problem=self._problem,
        )

    def notices(self) -> tuple[str, ...]:
        found = self.statistics()
        lost = f"{self._name}: {found.num_dropped:,} messages dropped" if found.num_dropped else ""
        num_odd = found.num_unwritable
        odd = f"{self._name}: {num_odd:,} messages cannot be written" if num_odd else ""
        failed = f"{self._name}: stopped: {found.problem}" if found.problem else ""
        return tuple(notice for notice in (lost, odd, failed) if notice)

    def close(self) -> None:
        """Write what is queued, then close the sink."""
        self._is_closing = True
        self._wake.set()
        if self._thread.ident is None:
            return
        self._thread.join(CLOSE_SECS)
        if self._thread.is_alive():
            self._problem = self._problem or f"not written within {CLOSE_SECS:g} s: its end is missing"
            log.error("not finished", part=self._name, error=self._problem)

    @property
    def run_digest(self) -> str:
        """Of the reports written; "" before the first."""
        return "" if self._messages is None else self._messages.run_digest

    @property
    def specs(self) -> list[SensorSpec]:
        return [driver.spec for driver in self._drivers()]

    def _drivers(self) -> list[SensorDriver]:
        assert self._run is not None
        puzzles = [driver for each in self._run.puzzles for driver in each.drivers.values()]
        return [*self._run.loop.senses.drivers, *puzzles]

    def _now_ns(self) -> int:
        assert self._clock is not None
        return self._clock.now_ns()

    def _put(self, item: Item, num_bytes: int) -> None:
        """Queue it, or count it as dropped. Never waits for the sink, never raises."""
        with self._lock:
            is_full = len(self._queue) >= MAX_ITEMS or self._num_bytes + num_bytes > MAX_BYTES
            if is_full or self._problem:
                self._num_dropped += 1
                return
            self._queue.append((item, num_bytes))
            self._num_bytes += num_bytes
        if num_bytes > 0 and self._num_bytes > MAX_BYTES // 4:
            self._wake.set()

    def _note_text(self, source: str, answer: AnswerText) -> None:
        self._put(Text(source, answer, self._now_ns()), len(answer.text))

    def _take_isolated(self) -> None:
        """The readings that the loop took from sensors in processes of their own."""
        if not self._isolated:
            return
        assert self._run is not None
        latest, now_ns = self._run.world.context.latest, self._now_ns()
        for index, (driver, seen) in enumerate(self._isolated):
            found, counts = latest.of(driver.spec.name), driver.statistics()
            if not found or found[-1].captured_ns <= seen:
                continue
            newest = found[-1]
            self._isolated[index] = (driver, newest.captured_ns)
            reading = Reading(
                captured_ns=newest.captured_ns,
                received_ns=now_ns,
                sequence=counts.sequence,
                noise_std=counts.noise_std,
                quality=counts.quality,
                confidence=counts.confidence,
                health=counts.health,
            )
            self._put(Readings(driver.spec.name, newest.values, reading, now_ns), newest.values.nbytes)

    def _work(self) -> None:
        """The thread. Its errors are in `statistics` and never reach the loop."""
        assert self._messages is not None
        try:
            while True:
                is_last = self._is_closing
                self._write_queued()
                if is_last:
                    break
                self._wake.wait(PAUSE_SECS)
                self._wake.clear()
        except Exception as error:  # the top of a worker: shown, and the session goes on
            self._fail(error)
        try:
            self._messages.close(self._num_dropped, self._problem)
        except Exception as error:  # as above
            self._fail(error)

    def _write_queued(self) -> None:
        assert self._messages is not None
        while self._queue:
            with self._lock:
                item, num_bytes = self._queue.popleft()
                self._num_bytes -= num_bytes
            try:
                self._messages.write(item)
            except OSError:
                raise
            except BaseException as error:  # an odd reading of a plug-in: its own loss
                pass_on(error)
                self._num_unwritable += 1
                source = getattr(item, "source", "")
                if source not in self._warned:
                    self._warned.add(source)
                    reason = {"part": self._name, "source": source, "error": repr(error)}
                    log.warning("a message cannot be written", **reason)

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._problem = self._problem or _reason(error)
            self._num_dropped += len(self._queue)
            self._queue.clear()
            self._num_bytes = 0
        log.error("stopped; the session goes on", part=self._name, error=self._problem)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__ if isinstance(error, SageError) else repr(error)


def _both(
    first: Callable[[str, AnswerText], None], second: Callable[[str, AnswerText], None]
) -> Callable[[str, AnswerText], None]:
    def call(source: str, answer: AnswerText) -> None:
        first(source, answer)
        second(source, answer)

    return call
