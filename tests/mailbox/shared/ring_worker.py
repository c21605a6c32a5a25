"""A process of its own that pushes to or pops from a shared ring: run by the tests with a JSON of what to do.

It says "ready", begins at a line on its standard input, and ends with a JSON of what it saw. Every byte of a record's
payload follows from producer and number.
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


def consume(ring, *, num=None, max_records=64, subscription=None, spin_secs=0.0):
    """Until `num` records were seen or lost, or the ring is closed."""
    seen, lost, last, ticket = 0, 0, {}, -1
    order = hashlib.blake2b()
    try:
        while num is None or seen + lost < num:
            batch = subscription.pop_many(max_records, timeout_secs=30.0, spin_secs=spin_secs)
            got = batch.records
            assert len(got), "nothing came for 30 s"
            assert batch.first_ticket > ticket, "delivered twice"
            ticket = batch.first_ticket + len(got) - 1
            for producer in np.unique(got["producer"]):
                mine = got[got["producer"] == producer]
                numbers = mine["sequence"].astype(np.int64)
                payload = (numbers[:, None] * 7 + int(producer) * 31 + np.arange(192)) % 251
                assert (mine["payload"] == payload).all(), "torn"
                assert (np.diff(numbers, prepend=last.get(int(producer), -1)) > 0).all(), "not first in, first out"
                last[int(producer)] = int(numbers[-1])
            seen, lost = seen + len(got), lost + batch.lost
            order.update(got.tobytes())
    except MailboxClosed:
        pass
    return {"seen": seen, "lost": lost, "order": order.hexdigest(), "last": last}


def main():
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    job = json.loads(sys.argv[1])
    ring = SharedPeripheral.attach(job["name"], clock=RealClock())
    subscription = ring.subscribe(**job["subscribe"]) if "subscribe" in job else None
    print("ready", flush=True)
    sys.stdin.readline()
    if subscription is None:
        found = produce(ring, **job.get("options", {}))
    else:
        found = consume(ring, subscription=subscription, **job.get("options", {}))
        subscription.close()
    ring.close()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
