"""Three well-known ways to get a mailbox wrong, each caught by a check that ours passes."""

import threading

import numpy as np
import pytest

from sage.mailbox import RECORD, Batch


class RacyDouble:
    """Push loads the index, writes, then increments: two producers take one slot."""

    def __init__(self, capacity):
        self.slots, self.tail, self.heads = np.zeros(capacity, dtype=RECORD), 0, []
        self._both_have_loaded = threading.Barrier(2)

    def push(self, record):
        index = self.tail
        self._both_have_loaded.wait(30.0)  # the schedule that a busy machine finds sooner or later
        self.slots[index % len(self.slots)] = record[0]
        self.tail = index + 1
        return True

    def subscribe(self):
        return DoubleReader(self, {"head": self.tail})


class OneHeadDouble(RacyDouble):
    """A "broadcast" whose readers share one read index: each record reaches one of them."""

    def __init__(self, capacity):
        super().__init__(capacity)
        self._head = {"head": 0}

    def push(self, record):
        self.slots[self.tail % len(self.slots)] = record[0]
        self.tail += 1
        return True

    def subscribe(self):
        return DoubleReader(self, self._head)


class YesDouble(OneHeadDouble):
    """Push always returns True; records that do not fit are lost and not counted."""

    def push(self, record):
        return self.tail - self._head["head"] >= len(self.slots) or super().push(record)


class DoubleReader:
    def __init__(self, ring, cursor):
        self._ring, self._cursor = ring, cursor

    def pop_many(self, max_records):
        first = self._cursor["head"]
        last = min(self._ring.tail, first + max_records)
        self._cursor["head"] = last
        rows = [self._ring.slots[i % len(self._ring.slots)] for i in range(first, last)]
        return Batch(records=np.array(rows, dtype=RECORD), lost=0, first_ticket=first)


def check_two_producers_take_two_slots(ring, records):
    reader = ring.subscribe()
    start = threading.Barrier(2)

    def produce(producer):
        start.wait(30.0)
        ring.push(records(0, 1, producer=producer))

    threads = [threading.Thread(target=produce, args=(p,)) for p in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert sorted(reader.pop_many(9).records["producer"]) == [1, 2]


def check_everybody_sees_everything(ring, records):
    readers = [ring.subscribe() for _ in range(3)]
    for number in range(4):
        ring.push(records(number, 1))
    for reader in readers:
        assert list(reader.pop_many(9).records["sequence"]) == [0, 1, 2, 3]


def check_what_push_accepts_arrives_or_is_counted(ring, records):
    reader = ring.subscribe()
    num_accepted = sum(ring.push(records(number, 1)) for number in range(20))
    batch = reader.pop_many(99)
    assert len(batch) + batch.lost == num_accepted


CHECKS = [
    (check_two_producers_take_two_slots, RacyDouble),
    (check_everybody_sees_everything, OneHeadDouble),
    (check_what_push_accepts_arrives_or_is_counted, YesDouble),
]


@pytest.mark.parametrize(("check", "double"), CHECKS)
def test_the_check_catches_its_broken_double(check, double, records):
    with pytest.raises(AssertionError):
        check(double(8), records)


@pytest.mark.parametrize("mode", ["lossy", "lossless"])
@pytest.mark.parametrize("check", [check for check, _ in CHECKS])
def test_ours_passes(check, mode, make_ring, records):
    check(make_ring(mode=mode), records)
