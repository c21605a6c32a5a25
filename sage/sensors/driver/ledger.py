"""The judgement of each reading of one source: deliver it, or count why it is not delivered.

Invariant: the sequences of delivered readings only grow, also when the device is opened again; a reading is
counted once.
"""

from __future__ import annotations

import threading
from collections import deque
from enum import Enum

from sage.sensors.contract import MAX_SEQUENCE, Reading, SensorError, SensorSpec

#: More than this many times the nominal rate is a flood.
FLOOD_FACTOR = 4
#: Readings that may come at once, and stamped at once, as devices with a queue of their own do.
MIN_BURST = 32
#: More readings than this are not lost between two of one device: its count is wrong.
MAX_LOST = 1 << 40
#: How far a stamp may lie ahead of the clock: two clocks that were mapped onto each other are never equal.
MAX_AHEAD_NS = 50_000_000
#: Readings whose claims are kept: more than the slots of a mailbox that they wait in.
NUM_KEPT = 64


class Verdict(Enum):
    """PASS: deliver it.  REPEAT: the last reading again, or an older one.  FLOOD: above the rate limit."""

    PASS = "pass"
    REPEAT = "repeat"
    FLOOD = "flood"


class Ledger:
    """Counts of one source. Hold `lock` to judge and publish, so that readings are judged one at a time.

    after_sequence: the last sequence that was delivered before this ledger was made.  spec, period_ns: of the
    source.
    """

    def __init__(self, spec: SensorSpec, *, max_age_ns: int, stale_ns: int, after_sequence: int = -1) -> None:
        self.lock = threading.Lock()
        self.num_readings = 0
        self.num_dropped = 0
        self.num_late = 0
        self.num_duplicate = 0
        self.num_reordered = 0
        self.num_flooded = 0
        self.last: Reading | None = None
        self._kept: deque[Reading] = deque(maxlen=NUM_KEPT)
        #: The loop's trust in the source, 0..1, written into records: the least trusted are dropped first.
        self.trust = 1.0
        self.spec = spec
        self.period_ns = spec.period_ns
        self._name = spec.name
        self._max_age_ns = max_age_ns
        self._stale_ns = max(stale_ns, FLOOD_FACTOR * spec.period_ns)
        self._burst = max(float(MIN_BURST), 1e9 / spec.period_ns)
        self._allowance = self._burst
        self._allowance_a_ns = FLOOD_FACTOR / spec.period_ns
        self._seen_sequence = after_sequence
        self._seen_captured_ns: int | None = None
        self._shift: int | None = None
        self._repeating_since_ns: int | None = None

    @property
    def seen_sequence(self) -> int:
        """The last sequence that was judged, -1 before the first."""
        return self._seen_sequence

    def begin_device(self) -> None:
        """A new instance of the device begins to read: it may count from 0 again."""
        self._shift = None
        self._repeating_since_ns = None

    def judge(self, reading: Reading, now_ns: int) -> Verdict:
        """Judge and count. reading: its fields have the types of the contract.

        SensorError for a reading that cannot be true, or after `stale_ns` without a new one.
        """
        if not (0.0 <= reading.quality <= 1.0 and 0.0 <= reading.confidence <= 1.0):
            raise SensorError(
                f"{self._name}: quality {reading.quality}, confidence {reading.confidence}: give numbers from"
                " 0 to 1"
            )
        if reading.captured_ns > now_ns + MAX_AHEAD_NS:
            ahead_secs = (reading.captured_ns - now_ns) / 1e9
            raise SensorError(
                f"{self._name}: captured_ns is {ahead_secs:.3f} s ahead of the clock: stamp with"
                " the context's clock"
            )
        is_first = self._shift is None
        sequence = self.shifted(reading)
        seen_ns = self._seen_captured_ns
        if sequence <= self._seen_sequence or (seen_ns is not None and reading.captured_ns < seen_ns):
            self._count_repeat(is_duplicate=sequence == self._seen_sequence, now_ns=now_ns)
            return Verdict.REPEAT
        num_lost = sequence - self._seen_sequence - 1
        if num_lost:
            self.num_dropped += self._checked(num_lost, reading, is_first=is_first)
        elapsed_ns = 0 if seen_ns is None else reading.captured_ns - seen_ns
        self._seen_sequence = sequence
        self._seen_captured_ns = reading.captured_ns
        self._repeating_since_ns = None
        self._allowance = min(self._burst, self._allowance + elapsed_ns * self._allowance_a_ns)
        if self._allowance < 1.0:
            self.num_flooded += 1
            return Verdict.FLOOD
        self._allowance -= 1.0
        if now_ns - reading.captured_ns > self._max_age_ns:
            self.num_late += 1
        return Verdict.PASS

    def shifted(self, reading: Reading) -> int:
        """The device's sequence, shifted past those of earlier instances."""
        if self._shift is None:
            self._shift = (
                0 if reading.sequence > self._seen_sequence else self._seen_sequence + 1 - reading.sequence
            )
        return reading.sequence + self._shift

    def count_passed(self, reading: Reading) -> None:
        """The reading has reached the mailboxes. `reading` has its shifted sequence."""
        self.num_readings += 1
        self.last = reading
        self._kept.append(reading)

    def claims_of(self, sequence: int) -> Reading | None:
        """What the device claimed of a reading that reached the mailboxes. None for one that another process
        has published and that is not counted yet, and for one that is not among the last NUM_KEPT.
        """
        with self.lock:  # on a device's thread a reading is published first, then counted
            return next((each for each in reversed(self._kept) if each.sequence == sequence), None)

    def take_over(self, reading: Reading) -> None:
        """Count a reading that another process has judged and published."""
        self._seen_sequence = max(self._seen_sequence, reading.sequence)
        self._seen_captured_ns = reading.captured_ns
        self.count_passed(reading)

    def _checked(self, num_lost: int, reading: Reading, *, is_first: bool) -> int:
        """The readings lost before this one. SensorError for a count that cannot be true, which would leave
        no numbers for what comes later. is_first: of its device, which may begin to count anywhere.
        """
        if reading.sequence >= MAX_SEQUENCE or (num_lost > MAX_LOST and not is_first):
            raise SensorError(
                f"{self._name}: sequence {reading.sequence} after {num_lost} lost readings: count from 0"
            )
        return num_lost if num_lost <= MAX_LOST else 0

    def _count_repeat(self, *, is_duplicate: bool, now_ns: int) -> None:
        if is_duplicate:
            self.num_duplicate += 1
        else:
            self.num_reordered += 1
        if self._repeating_since_ns is None:
            self._repeating_since_ns = now_ns
        elif now_ns - self._repeating_since_ns > self._stale_ns:
            raise SensorError(f"{self._name}: stale: only old readings for {self._stale_ns / 1e9:g} s")
