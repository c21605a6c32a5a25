"""The loop's side of an isolated sensor: starts its process, takes its records, and survives its end.

Invariant: `poll` waits at most OUTPUT_SECS, once, for the last output of a process that fails. A process that
crashed, hangs or was killed is one fault of its own source; what it published before can still be read, and
the memory that it held is taken back.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from sage.errors import InputError
from sage.exit_status import how_it_ended
from sage.mailbox.record import KIND_SUMMARY, SUMMARY
from sage.mailbox.shared.memory.identity import my_identity
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec, SourceExhausted
from sage.sensors.driver.delivery import Outlet
from sage.sensors.driver.isolation.plan import IsolationPlan
from sage.sensors.driver.isolation.status import EXHAUSTED, FAILED, OPEN, REFUSED, Counts, SensorStatus
from sage.sensors.driver.ledger import Ledger
from sage.sensors.driver.supervision import OPEN_FACTOR, PollLimit, SensorHung

if TYPE_CHECKING:
    from sage.mailbox.contract import Peripheral
    from sage.mailbox.shared.focus.mailbox import SharedFocus
    from sage.mailbox.shared.ring.mapping import SharedPeripheral
    from sage.mailbox.shared.ring.subscription import SharedSubscription

#: Starting an interpreter and importing a driver's libraries comes on top of opening the device.
START_SECS = 30.0
#: Records that one poll may take over at least (PollLimit), and that it takes at a time.
RECORDS_AT_ONCE = 64
#: Of a process's stderr: what is kept, how many lines an error has, and how long to wait for the rest of it
#: when the process is ending: its end closes the stream, so that the wait is short.
MAX_OUTPUT_BYTES = 4096
MAX_LINES = 3
MAX_LINE = 200
OUTPUT_SECS = 0.5
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What an isolated source needs besides what every source has.  target: its class, "module:Class".

    context: the run's, when a process starts.  records, focus: its own shared mailboxes, made and closed by
    the builder of the run.  calibrations: the folder that they are kept in, "" for none.
    """

    target: str
    config: SensorConfig
    context: Callable[[], SensorContext]
    records: SharedPeripheral
    focus: SharedFocus
    calibrations: str = ""

    def plan(self, *, status: str, producer: int, after_sequence: int, spec: SensorSpec) -> IsolationPlan:
        context = self.context()
        return IsolationPlan(
            target=self.target,
            config=self.config.model_dump(mode="json", exclude_unset=True)
            | {"kind": self.config.kind, "name": self.config.name},
            epoch_ns=context.epoch_ns,
            base_dir=str(context.base_dir),
            records=self.records.name,
            focus=self.focus.name,
            status=status,
            producer=producer,
            after_sequence=after_sequence,
            parent=my_identity(),
            spec=repr(spec),
            calibrations=self.calibrations,
        )

    def engine(self, ledger: Ledger, outlet: Outlet, *, hang_ns: int) -> ProcessEngine:
        """For one process of the device."""
        return ProcessEngine(
            self, ledger=ledger, peripheral=outlet.peripheral, producer=outlet.producer, hang_ns=hang_ns
        )


class SensorProcess:
    """The process, from its start to its end. What it writes to stderr is read, and its last bytes are
    kept.

    plan: for its standard input.  module: what it runs.  pass_fds: open files that it inherits.
    """

    def __init__(
        self,
        plan: str,
        *,
        module: str = "sage.sensors.driver.isolation.worker",
        arguments: tuple[str, ...] = (),
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        options = ["-P"] if sys.version_info >= (3, 11) else []
        self._process = subprocess.Popen(
            [sys.executable, *options, "-m", module, *arguments],
            pass_fds=pass_fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"},
        )
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        self._output = OutputTail(self._process.stderr)
        with contextlib.suppress(BrokenPipeError):  # it has ended already; `poll` says how
            self._process.stdin.write(plan.encode())
            self._process.stdin.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def join(self, timeout_secs: float) -> bool:
        """Whether it has ended."""
        try:
            self._process.wait(timeout_secs)
        except subprocess.TimeoutExpired:
            return False
        return True

    def abandon(self) -> None:
        """End it now; what it held is reaped."""
        self._process.kill()

    def describe_end(self) -> str:
        """Of one that has ended: how, and the last lines of its stderr."""
        return self.with_output(f"its process {how_it_ended(self._process.returncode)}")

    def with_output(self, message: str) -> str:
        """`message`, followed by the last lines of its stderr if there are any. For a process that is
        ending.
        """
        self._output.join(OUTPUT_SECS)
        lines = self._output.last_lines()
        return f"{message}; stderr: {lines}" if lines else message


class OutputTail:
    """Reads a stream to its end on a thread of its own, so that its writer never blocks; keeps the last
    bytes.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._tail = b""
        self._thread = threading.Thread(target=self._read, name="sensor-stderr", daemon=True)
        self._thread.start()

    def join(self, timeout_secs: float) -> None:
        """Wait for the stream's end: the writer has ended."""
        self._thread.join(timeout_secs)

    def last_lines(self) -> str:
        """Up to MAX_LINES lines that are not blank, joined to one, without colours and control characters."""
        text = _COLOURS.sub("", self._tail.decode("utf-8", "replace"))
        lines = [" ".join(line.split()) for line in text.splitlines()]
        printable = ["".join(c for c in line if c.isprintable())[-MAX_LINE:] for line in lines]
        return " | ".join([line for line in printable if line][-MAX_LINES:])

    def _read(self) -> None:
        with self._stream:
            while chunk := os.read(self._stream.fileno(), MAX_OUTPUT_BYTES):
                self._tail = (self._tail + chunk)[-MAX_OUTPUT_BYTES:]


class ProcessEngine:
    """One process of an isolated device, as its driver sees it."""

    def __init__(
        self, isolation: Isolation, *, ledger: Ledger, peripheral: Peripheral, producer: int, hang_ns: int
    ) -> None:
        self._isolation = isolation
        self._ledger = ledger
        self._peripheral = peripheral
        self._producer = producer
        self._hang_ns = hang_ns
        self._limit = PollLimit(RECORDS_AT_ONCE, ledger.period_ns)
        self._subscription: SharedSubscription | None = None
        self._status: SensorStatus | None = None
        self._process: SensorProcess | None = None
        self._before = _counts_of(ledger)
        self._taken_dropped = 0
        self._seen_calls = -1
        self._seen_ns: int | None = None

    @property
    def is_open(self) -> bool:
        return self._status is not None and self._status.state in (OPEN, EXHAUSTED)

    def start(self) -> None:
        isolation = self._isolation
        isolation.records.reap()
        isolation.focus.reap()
        self._subscription = isolation.records.subscribe()
        self._status = SensorStatus.create(f"{isolation.records.name}.{os.urandom(4).hex()}")
        self._status.trust = self._ledger.trust
        plan = isolation.plan(
            status=self._status.name,
            producer=self._producer,
            after_sequence=self._ledger.seen_sequence,
            spec=self._ledger.spec,
        )
        try:
            self._process = SensorProcess(plan.to_json())
        except OSError as error:
            raise SensorError(f"{isolation.config.name}: its process cannot be started: {error}") from error

    def poll(self, now_ns: int) -> None:
        status, process = self._status, self._process
        assert status is not None
        assert process is not None
        # Read first: what it wrote before either is taken below.
        has_ended = not process.is_alive
        state = status.state
        status.trust = self._ledger.trust
        most = self._limit.at(now_ns)
        num_taken = self._take_records(most)
        self._take_counts(status.counts)
        if state == REFUSED:
            raise InputError(status.error)
        if state == FAILED:
            raise SensorError(process.with_output(status.error))
        if state == EXHAUSTED:
            if num_taken < most:
                raise SourceExhausted("end of the recording")
            return
        if has_ended:
            raise SensorError(process.describe_end())
        self._raise_if_hung(status, process, now_ns)

    def stop(self) -> SensorProcess | None:
        status, process = self._status, self._process
        if status is not None:
            status.stop()
            self._take_counts(status.counts)
            status.unlink()
        if self._subscription is not None:
            self._take_records(RECORDS_AT_ONCE)
            self._subscription.close()
            self._subscription = None
        return process if process is not None and process.is_alive else None

    def _take_records(self, most: int) -> int:
        """Pass its records on to the run's mailbox, and count its readings. Fewer than `most` are all that
        there were.
        """
        num_taken = 0
        while num_taken < most:
            num = self._take_some()
            num_taken += num
            if num < RECORDS_AT_ONCE:
                break
        return num_taken

    def _take_some(self) -> int:
        assert self._subscription is not None
        batch = self._subscription.try_pop_many(RECORDS_AT_ONCE)
        ledger = self._ledger
        ledger.num_dropped += batch.lost
        if not len(batch):
            return 0
        self._peripheral.push_many(batch.records)
        now_ns = self._isolation.context().clock.now_ns()
        health = self._status.health if self._status is not None else ""
        for record in batch.records.view(SUMMARY):
            if record["kind"] == KIND_SUMMARY:
                ledger.take_over(_reading(record, now_ns, health))
        return len(batch)

    def _take_counts(self, counts: Counts) -> None:
        before, ledger = self._before, self._ledger
        ledger.num_late = before.late + counts.late
        ledger.num_duplicate = before.duplicate + counts.duplicate
        ledger.num_reordered = before.reordered + counts.reordered
        ledger.num_flooded = before.flooded + counts.flooded
        ledger.num_dropped += counts.dropped - self._taken_dropped
        self._taken_dropped = counts.dropped

    def _raise_if_hung(self, status: SensorStatus, process: SensorProcess, now_ns: int) -> None:
        num_calls = status.num_calls
        if self._seen_ns is None or num_calls != self._seen_calls:  # it calls its device many times a second
            self._seen_calls = num_calls
            self._seen_ns = now_ns
            return
        limit_ns = self._hang_ns if self.is_open else OPEN_FACTOR * self._hang_ns + round(START_SECS * 1e9)
        if now_ns - self._seen_ns > limit_ns:
            process.abandon()
            waited_secs = (now_ns - self._seen_ns) / 1e9
            raise SensorHung(process.with_output(f"a call has not returned for {waited_secs:.1f} s"))


def _reading(record: object, now_ns: int, health: str) -> Reading:
    fields: dict[str, float] = {name: record[name].item() for name in _FIELDS}  # type: ignore[index]
    return Reading(
        captured_ns=int(fields["stamp_ns"]),
        received_ns=now_ns,
        sequence=int(fields["sequence"]),
        noise_std=fields["noise_std"],
        quality=fields["quality"],
        confidence=fields["confidence"],
        health=health,
    )


_FIELDS = ("stamp_ns", "sequence", "noise_std", "quality", "confidence")


def _counts_of(ledger: Ledger) -> Counts:
    return Counts(
        dropped=ledger.num_dropped,
        late=ledger.num_late,
        duplicate=ledger.num_duplicate,
        reordered=ledger.num_reordered,
        flooded=ledger.num_flooded,
    )
