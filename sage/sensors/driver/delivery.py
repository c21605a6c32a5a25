"""From a device's read to the mailboxes: lend memory, read, judge, summarise, publish.

Invariant: what is published is finite, of the spec's shape and newer than what was published before; one
Delivery holds at most one loan, and publishes nothing once it is abandoned.

A large tensor is read directly into a loan, which is held between reads: give its mailbox three slots or
more. A small one is read into the Delivery's own memory and copied when there is a reading: that takes a few
hundred nanoseconds, and a source without a new reading holds no slot and evicts no message.
"""

from __future__ import annotations

import dataclasses
import struct
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sage.errors import pass_on
from sage.mailbox.clock import Clock
from sage.mailbox.record import DEMOTED, MAX_SAMPLE, NOT_FINITE, SUMMARY, point_to, summarize
from sage.sensors.contract import Reading, Sensor, SensorError, SensorSpec
from sage.sensors.driver.ledger import Ledger, Verdict

if TYPE_CHECKING:
    from sage.mailbox.contract import FocusSender, Loan, Peripheral
    from sage.sensors.driver.batch import ReadingBatch


class ReadingTap(Protocol):
    """Gets all that a device returns, before it is judged. Called on the driver's thread and on the device's;
    it copies what it keeps, returns at once and raises nothing. Times are on the run's clock.
    """

    def take(self, values: np.ndarray, reading: Reading, read_ns: int) -> None: ...

    def note_fault(self, message: str, at_ns: int) -> None:
        """The driver puts the device in quarantine."""
        ...

    def note_end(self, at_ns: int) -> None:
        """The device is exhausted."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """Where one source's readings go. producer: its number in records and quotas.

    batch: holds the source's readings, which then do not go through `focus`.
    """

    peripheral: Peripheral
    focus: FocusSender
    producer: int
    taps: tuple[ReadingTap, ...] = ()
    batch: ReadingBatch | None = None


#: The numbers of a Reading: packing them checks their types and sizes in one call. A record has noise_std as
#: float32.
_NUMBERS = struct.Struct("<qqQfdd")
#: A report cannot be stored with others, as numpy has them.
_PLAIN = {int, float}
#: Up to this size copying a reading costs less than holding a slot for it.
SMALL_BYTES = 4096


class Delivery:
    """Carries the readings of one opened device. Used by one thread; `abandon` by any."""

    def __init__(self, spec: SensorSpec, ledger: Ledger, outlet: Outlet, clock: Clock) -> None:
        self._spec = spec
        self._shape = spec.tensor.shape
        self._dtype = np.dtype(spec.tensor.dtype)
        self._ledger = ledger
        self._outlet = outlet
        self._clock = clock
        self._loan: Loan | None = None
        self._scratch = (
            np.zeros(self._shape, dtype=self._dtype) if spec.tensor.num_bytes <= SMALL_BYTES else None
        )
        self._flat = np.zeros(0) if self._scratch is None else self._scratch.reshape(-1)
        self._record = np.zeros((), dtype=SUMMARY)
        self._batch = outlet.batch
        self._is_abandoned = False

    def deliver_next(self, sensor: Sensor) -> Verdict | None:
        """Read once. None when there is no new reading. SensorError for any fault of the device."""
        array = self._scratch if self._scratch is not None else self._lent()
        reading = self._read(sensor, array)
        if reading is None:
            return None
        ledger = self._ledger
        with ledger.lock:
            if self._is_abandoned:
                return None
            verdict = ledger.judge(reading, self._clock.now_ns())
            if verdict is Verdict.PASS:
                self._publish(array, reading, ledger.seen_sequence)
        return verdict

    def abandon(self) -> None:
        """Its thread hangs: publish nothing that it returns later."""
        with self._ledger.lock:
            self._is_abandoned = True

    def discard(self) -> None:
        """Return the loan. Called by the thread that used it, at its end."""
        if self._loan is not None:
            self._loan.discard()
            self._loan = None

    def _read(self, sensor: Sensor, array: np.ndarray) -> Reading | None:
        try:
            reading = sensor.read_into(array)
        except SensorError:
            raise
        except BaseException as error:  # a plug-in may raise anything: counted and shown by the driver
            pass_on(error)
            raise SensorError(f"{self._spec.name}: {type(error).__name__}: {error}") from error
        if reading is None:
            return None
        if not isinstance(reading, Reading):
            raise SensorError(
                f"{self._spec.name}: read_into returned {type(reading).__name__}: return a Reading or None"
            )
        numbers = (
            reading.captured_ns,
            reading.received_ns,
            reading.sequence,
            reading.noise_std,
            reading.quality,
            reading.confidence,
        )
        try:
            _NUMBERS.pack(*numbers)
        except (struct.error, TypeError, OverflowError) as error:
            raise SensorError(
                f"{self._spec.name}: {reading}: {error}: give integers of 64 bits for captured_ns,"
                " received_ns and sequence, which counts from 0, numbers for quality and confidence, and for"
                " noise_std a number up to 3.4e38, or NaN"
            ) from error
        if type(reading.health) is not str:
            raise SensorError(f"{self._spec.name}: health is {reading.health!r}: give a text")
        if not _PLAIN.issuperset(map(type, numbers)):
            reading = _with_plain_numbers(reading)
        for tap in self._outlet.taps:
            tap.take(array, reading, self._clock.now_ns())
        return reading

    def _lent(self) -> np.ndarray:
        """Memory for a large reading. With no slot free the device is still read, so that it does not fall
        behind.
        """
        if self._loan is None:
            self._loan = self._borrow()
        return np.empty(self._shape, dtype=self._dtype) if self._loan is None else self._loan.array

    def _borrow(self) -> Loan | None:
        outlet = self._outlet
        return outlet.focus.try_loan(
            self._shape, self._spec.tensor.dtype, producer=outlet.producer, trust=self._ledger.trust
        )

    def _publish(self, array: np.ndarray, reading: Reading, sequence: int) -> None:
        """A reading with NaN or infinity is a fault of the device, and is not published."""
        batch, ledger, producer = self._batch, self._ledger, self._outlet.producer
        if batch is not None and batch.add(self._flat, reading, producer, sequence, ledger.trust):
            ledger.count_passed(reading if sequence == reading.sequence else _numbered(reading, sequence))
            return
        flags = self._summarize(array, reading, sequence)
        if not self._is_finite(array, flags):
            raise SensorError(f"{self._spec.name}: reading {reading.sequence} has NaN or infinity")
        if batch is not None:
            batch.add_summarized(self._flat, self._record, reading, producer, sequence)
        else:
            self._send(array, reading, sequence)
        ledger.count_passed(reading if sequence == reading.sequence else _numbered(reading, sequence))

    def _send(self, array: np.ndarray, reading: Reading, sequence: int) -> None:
        """The tensor to the focus mailbox, and its record, which is summarised, to the peripheral one."""
        record = self._record
        word = (
            self._copied(array, reading, sequence)
            if self._scratch is not None
            else self._handed_over(reading, sequence)
        )
        if word is None:
            record["flags"] |= DEMOTED
            self._ledger.num_dropped += 1
        else:
            point_to(record, word)
        self._outlet.peripheral.push(record)

    def _copied(self, array: np.ndarray, reading: Reading, sequence: int) -> int | None:
        """The word of a small reading's slot; None when no slot was free."""
        outlet, trust = self._outlet, self._ledger.trust
        return outlet.focus.post(
            array,
            self._spec.tensor.dtype,
            stamp_ns=reading.captured_ns,
            sequence=sequence,
            producer=outlet.producer,
            trust=trust,
            quality=reading.quality,
        )

    def _handed_over(self, reading: Reading, sequence: int) -> int | None:
        """The word of a large reading's slot; None when it had none. A reading whose slot was taken back
        counts as dropped.
        """
        loan, self._loan = self._loan, None
        if loan is None:
            return None
        word, ledger = loan.word, self._ledger
        if not loan.publish(
            stamp_ns=reading.captured_ns, sequence=sequence, trust=ledger.trust, quality=reading.quality
        ):
            ledger.num_dropped += 1
        return word

    def _summarize(self, array: np.ndarray, reading: Reading, sequence: int) -> int:
        """Its flags. Called before the tensor is published, which gives its memory away."""
        return summarize(
            self._record,
            array,
            producer=self._outlet.producer,
            sequence=sequence,
            stamp_ns=reading.captured_ns,
            trust=self._ledger.trust,
            quality=reading.quality,
            confidence=reading.confidence,
            noise_std=reading.noise_std,
        )

    def _is_finite(self, array: np.ndarray, flags: int) -> bool:
        """The summary covers all of a small reading, and a sample of a large one."""
        if self._dtype.kind != "f":
            return True
        if flags & NOT_FINITE:
            return False
        return array.size <= MAX_SAMPLE or bool(np.isfinite(array).all())


def _with_plain_numbers(reading: Reading) -> Reading:
    return dataclasses.replace(
        reading,
        captured_ns=int(reading.captured_ns),
        received_ns=int(reading.received_ns),
        sequence=int(reading.sequence),
        noise_std=float(reading.noise_std),
        quality=float(reading.quality),
        confidence=float(reading.confidence),
    )


def _numbered(reading: Reading, sequence: int) -> Reading:
    return dataclasses.replace(reading, sequence=sequence)
