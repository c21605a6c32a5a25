"""A process that pushes to or pops from a shared ring; the tests start it with a JSON job.

It prints "ready", starts at a line on its standard input, and ends with a JSON report. Every byte of a
record's payload follows from producer and number.
"""

import hashlib
import json
import sys

import numpy as np
import structlog

from sage.mailbox import RECORD, MailboxClosed, RealClock
from sage.mailbox.shared import SharedPeripheral


def records(producer, first, num):
    batch = np.zeros(num, dtype=RECORD)
    numbers = np.arange(first, first + num)
    batch["sequence"], batch["producer"], batch["kind"], batch["length"] = numbers, producer, 2, 192
    batch["payload"] = (numbers[:, None] * 7 + producer * 31 + np.arange(192)) % 251
    return batch


def produce(ring, *, producer, num, batch=1, timeout_secs=30.0, first=0):
    all_records, done = records(producer, first, num), 0
    while done < num:
        if batch == 1:
            assert ring.push(all_records[done], timeout_secs=timeout_secs)
            done += 1
        elif taken := ring.push_many(all_records[done : done + batch]):
            done += taken
        else:
            assert ring.push(all_records[done], timeout_secs=timeout_secs)
            done += 1
    return {"pushed": done}


class Checker:
    """What one reader gets: whole, once, first in first out by producer. Looked at by the thousand."""

    def __init__(self):
        self.seen = self.lost = 0
        self.order, self.last = hashlib.blake2b(), {}
        self._ticket, self._pending, self._num_pending = -1, [], 0

    def add(self, batch):
        assert batch.first_ticket > self._ticket, "delivered twice"
        self._ticket = batch.first_ticket + len(batch) - 1
        self.seen, self.lost = self.seen + len(batch), self.lost + batch.lost
        self._pending.append(batch.records)
        self._num_pending += len(batch)
        if self._num_pending >= 4096:
            self.look()

    def look(self):
        got = np.concatenate(self._pending) if self._pending else np.empty(0, dtype=RECORD)
        self._pending, self._num_pending = [], 0
        self.order.update(got.tobytes())
        for producer in np.unique(got["producer"]).tolist():
            mine = got[got["producer"] == producer]
            numbers = mine["sequence"].astype(np.int64)
            payload = (numbers[:, None] * 7 + producer * 31 + np.arange(192)) % 251
            assert (mine["payload"] == payload).all(), "torn"
            assert (np.diff(numbers, prepend=self.last.get(producer, -1)) > 0).all(), (
                "not first in, first out"
            )
            self.last[producer] = int(numbers[-1])


def consume(ring, *, num=None, max_records=64, subscription=None, spin_secs=0.0):
    """Until `num` records were seen or lost, or the ring is closed."""
    checker = Checker()
    try:
        while num is None or checker.seen + checker.lost < num:
            batch = subscription.pop_many(max_records, timeout_secs=30.0, spin_secs=spin_secs)
            assert len(batch), "nothing came for 30 s"
            checker.add(batch)
    except MailboxClosed:
        pass
    checker.look()
    return {
        "seen": checker.seen,
        "lost": checker.lost,
        "order": checker.order.hexdigest(),
        "last": checker.last,
    }


def work(job, commands, reports):
    """commands, reports: text files."""
    ring = SharedPeripheral.attach(job["name"], clock=RealClock())
    subscription = ring.subscribe(**job["subscribe"]) if "subscribe" in job else None
    print("ready", file=reports, flush=True)
    commands.readline()
    if subscription is None:
        found = produce(ring, **job["options"])
    else:
        found = consume(ring, subscription=subscription, **job["options"])
        subscription.close()
    ring.close()
    print(json.dumps(found), file=reports, flush=True)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    work(json.loads(sys.argv[1]), sys.stdin, sys.stdout)
