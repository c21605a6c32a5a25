"""The very lines of the ring's protocol, stepped access by access: seeded schedules, deaths at any step,
broken variants.

The plain engine's functions run here without their lock, each access to the segment a turn given by the
schedule.
"""

import itertools
import os
import random
import signal
import threading

import numpy as np
import pytest

from sage.mailbox import RECORD, RealClock
from sage.mailbox.shared import SharedPeripheral
from sage.mailbox.shared.memory import words
from sage.mailbox.shared.ring import order_words
from sage.mailbox.shared.ring import pop as ring_pop
from sage.mailbox.shared.ring import push as ring_push
from sage.mailbox.shared.ring.array_memory import address_of
from sage.mailbox.shared.ring.layout import (
    C_BASE,
    C_BATCH,
    C_NUMBER,
    C_REACH,
    NUM_RESULT_WORDS,
    R_FIRST,
    R_LOST,
    TAIL,
)
from sage.mailbox.shared.ring.order_words import cell_word

STEPPED = (
    "load_relaxed",
    "load_acquire",
    "store_relaxed",
    "store_release",
    "swap_if",
    "add",
    "copy_bytes",
    "zero_bytes",
)
PROTOCOL = (ring_push, ring_pop, order_words)
MAX_TURNS = 5_000
#: Six laps of a lane of eight slots, against a reader that is slow enough to be overtaken in its copy.
OVERTAKING = {"scripts": ((2,) * 24,), "weights": (12, 1)}
_numbers = itertools.count()


class Died(BaseException):
    """Unwinds a thread that stands for a dead process. The protocol catches no exception."""


class Schedule:
    """Runs actors as threads, one access to the segment at a time, in an order that the seed decides."""

    def __init__(self, segments, seed, kill_at=None, weights=None):
        """segments: each handle's own mapping.  kill_at: the turn after which the first actor takes no more
        steps.  weights: of each actor, how often it has its turn compared with the others.
        """
        self._weights = weights
        self._ranges = [range(segment.address, segment.address + len(segment.memory)) for segment in segments]
        self._random, self._kill_at, self._turn = random.Random(seed), kill_at, 0
        self._turns, self._back, self._errors = {}, threading.Semaphore(0), []
        self._dead = set()

    def run(self, *actors):
        threads = [threading.Thread(target=self._act, args=(actor,)) for actor in actors]
        for thread in threads:
            self._turns[thread] = threading.Semaphore(0)
            thread.start()
        running = list(threads)
        while running:
            shares = self._weights and [self._weights[threads.index(thread)] for thread in running]
            (thread,) = self._random.choices(running, shares)
            if thread is threads[0] and self._kill_at is not None and self._turn >= self._kill_at:
                self._dead.add(thread)
            self._turn += 1
            if self._turn > MAX_TURNS:  # somebody waits for what will not come: end them all, and say so
                self._dead.update(threads)
                self._errors = [AssertionError("a living process cannot finish")]
            self._turns[thread].release()
            assert self._back.acquire(timeout=30.0), "a step never ended"
            if thread not in self._turns:
                running.remove(thread)
        for thread in threads:
            thread.join(30.0)
        if self._errors:
            raise self._errors[0]

    def step(self, address):
        thread = threading.current_thread()
        if thread in self._turns and any(address in each for each in self._ranges):
            self._back.release()
            self._wait(thread)

    def _act(self, actor):
        thread = threading.current_thread()
        try:
            self._wait(thread)
            actor()
        except Died:
            pass
        except BaseException as error:
            self._errors.append(error)
        del self._turns[thread]
        self._back.release()

    def _wait(self, thread):
        self._turns[thread].acquire()
        if thread in self._dead:
            raise Died


@pytest.fixture
def step_by(monkeypatch):
    """step_by(step): every access to memory calls step(address) first; copies go in two halves."""

    def patch(step):
        for name in STEPPED:
            word = getattr(words, name)

            def stepped(address, *rest, word=word, name=name):
                step(address)
                if name == "copy_bytes":
                    source, num_bytes = rest
                    step(source)
                    word(address, source, num_bytes // 2)
                    step(address)
                    step(source)
                    return word(address + num_bytes // 2, source + num_bytes // 2, num_bytes - num_bytes // 2)
                return word(address, *rest)

            for module in PROTOCOL:
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, stepped)

    yield patch
    monkeypatch.undo()


def _records(producer, first, num):
    batch, numbers = np.zeros(num, dtype=RECORD), np.arange(first, first + num)
    batch["producer"], batch["sequence"], batch["length"] = producer, numbers, 192
    batch["payload"] = (numbers[:, None] * 7 + producer * 31 + np.arange(192)) % 251
    return batch


class Ring:
    """A ring of `capacity`, as many writers as scripts (sizes of batches), and one reader."""

    def __init__(self, scripts, **options):
        name = f"test.{os.getpid()}.s{next(_numbers)}"
        first = SharedPeripheral.create(name, clock=RealClock(), engine="plain", **{"capacity": 2, **options})
        self.handles = [first, *(SharedPeripheral.attach(name, clock=RealClock()) for _ in scripts[1:])]
        self.segment, self.scripts = first._segment, scripts
        self.segments = [handle._segment for handle in self.handles]
        self.subscription = first.subscribe()
        for handle in self.handles:
            handle._membership.claim_lane(handle._engine)
        self.taken = [0] * len(scripts)
        self.got = []  # (sequence, record)

    def writer(self, index):
        def write():
            number = 0
            for size in self.scripts[index]:
                batch = _records(index, number, size)
                code = ring_push.push(self.handles[index]._control_address, address_of(batch), size, 0)
                self.taken[index] += code >> 1
                number += size

        return write

    def read(self, max_records=3):
        out, result = np.empty(max_records, dtype=RECORD), np.zeros(NUM_RESULT_WORDS, dtype=np.int64)
        control, block = self.handles[0]._control_address, self.segment.address + self.subscription.block
        num = ring_pop.pop(control, block, address_of(out), max_records, 0, address_of(result)) >> 1
        expected = self.got[-1][0] + 1 if self.got else 0
        if num:
            assert result[R_FIRST // 8] - result[R_LOST // 8] == expected, "the number lost is wrong"
        self.got += [(int(result[R_FIRST // 8]) + i, out[i].copy()) for i in range(num)]
        return num

    def reader(self, num_pops):
        return lambda: [self.read() for _ in range(num_pops)]

    def check(self, *, dead=None):
        while self.read():
            pass
        control = self.handles[0]._control_address
        end = ring_pop.end_sequence(control)
        living = sum(sum(script) for index, script in enumerate(self.scripts) if index != dead)
        assert self.taken[dead or 0] <= sum(self.scripts[dead or 0])
        if dead is None:
            assert end == living, "a push that came to nothing, or came twice"
        else:
            sizes = list(itertools.accumulate(self.scripts[dead], initial=0))
            assert end - living in sizes, "half a batch was pushed"
        sequences = [sequence for sequence, _ in self.got]
        assert sequences == sorted(set(sequences))
        assert self.got, "the last lap was not delivered"
        assert sequences[-1] == end - 1, "the last record was not delivered"
        for _, record in self.got:
            whole = _records(int(record["producer"]), int(record["sequence"]), 1)[0]
            whole["generation"] = record["generation"]
            assert record.tobytes() == whole.tobytes(), "torn"
        for producer in range(len(self.scripts)):
            mine = [int(record["sequence"]) for _, record in self.got if record["producer"] == producer]
            assert mine == sorted(set(mine)), "not first in, first out, or twice"
            assert mine == sequences or len(self.scripts) > 1, "another record than the one of this sequence"

    def close(self):
        self.handles[0].unlink()
        for handle in reversed(self.handles):
            handle.close()


def explore(step_by, seeds, *, kill_at=lambda seed: None, scripts=((2, 1, 2), (1, 1, 2)), weights=None):
    for seed in seeds:
        ring = Ring(scripts)
        schedule = Schedule(ring.segments, seed, kill_at(seed), weights)
        step_by(schedule.step)
        try:
            schedule.run(*(ring.writer(index) for index in range(len(scripts))), ring.reader(4))
            ring.check(dead=0 if kill_at(seed) is not None else None)
        finally:
            step_by(lambda address: None)
            ring.close()


def test_any_schedule_delivers_whole_records_in_one_order_and_counts_the_rest(step_by):
    explore(step_by, range(60))


def test_a_reader_that_is_overtaken_in_its_copy_delivers_no_torn_record(step_by):
    explore(step_by, range(40), **OVERTAKING)


def test_a_writer_can_die_at_any_step(step_by):
    explore(step_by, range(80), kill_at=lambda seed: seed * 2)


def test_a_lossless_ring_loses_nothing_under_any_schedule(step_by):
    for seed in range(40):
        ring = Ring(((2, 1), (1, 1)), mode="lossless")
        schedule = Schedule(ring.segments, seed)
        step_by(schedule.step)
        try:
            schedule.run(ring.writer(0), ring.writer(1), ring.reader(6))
            step_by(lambda address: None)
            while ring.read():
                pass
            assert [sequence for sequence, _ in ring.got] == list(range(sum(ring.taken)))
        finally:
            ring.close()


def test_schedules_find_a_push_that_does_not_compare(step_by, monkeypatch):
    def store(address, expected, desired):
        words.store_relaxed(address, desired)
        return expected

    monkeypatch.setattr(words, "swap_if", store)
    with pytest.raises(AssertionError):
        explore(step_by, range(60))


def test_schedules_find_a_reader_that_does_not_look_again(step_by, monkeypatch):
    monkeypatch.setattr(ring_pop, "is_whole", lambda control, sequence: True)
    with pytest.raises(AssertionError):
        explore(step_by, range(100), **OVERTAKING)


def test_schedules_find_a_check_that_reaches_too_far(step_by, monkeypatch):
    def is_whole(control, sequence):
        tail = words.load_relaxed(words.load_relaxed(control + C_BASE) + TAIL)
        reach = words.load_relaxed(control + C_REACH) + 4 * words.load_relaxed(control + C_BATCH)
        return order_words.sequence_of(control, tail) - sequence <= reach

    monkeypatch.setattr(ring_pop, "is_whole", is_whole)
    with pytest.raises(AssertionError):
        explore(step_by, range(100), **OVERTAKING)


def push_and_die(ring, step_by, num_steps):
    """In a forked child, with SIGKILL inside the plain engine's lock; whether it came to the end."""
    child = os.fork()
    if child == 0:
        memory, left = (
            range(ring._segment.address, ring._segment.address + len(ring._segment.memory)),
            [num_steps],
        )
        ring._membership.claim_lane(ring._engine)

        def step(address):
            if address in memory:
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1

        step_by(step)
        ring.push_many(_records(1, 0, 2))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_process_killed_at_any_access_leaves_a_usable_ring(step_by):
    num_steps, has_ended = 0, False
    while not has_ended:
        ring = SharedPeripheral.create(
            f"test.{os.getpid()}.s{next(_numbers)}", clock=RealClock(), capacity=4, engine="plain"
        )
        reader = ring.subscribe()
        has_ended = push_and_die(ring, step_by, num_steps)
        assert ring.push_many(_records(2, 0, 2)) == 2  # the lock of the dead is had
        got = reader.pop_many(9)
        assert (got.records["producer"].tolist(), got.lost) in (([2, 2], 0), ([1, 1, 2, 2], 0))
        assert ring.reap() == 1
        ring.unlink()
        ring.close()
        num_steps += 3
    assert num_steps > 20


@pytest.mark.parametrize("engine", ["plain", "numba"])
def test_tickets_numbers_and_records_wrap(engine, records):
    if engine == "numba":
        pytest.importorskip("numba")
    first = 2**39 - 5
    ring = SharedPeripheral.create(
        f"test.{os.getpid()}.w{next(_numbers)}",
        clock=RealClock(),
        capacity=4,
        engine=engine,
        first_ticket=first,
    )
    ring._membership.claim_lane(ring._engine)
    ring._push_step = ring._engine.push
    ticket, segment = 2**24 - 6, ring._segment
    segment.words[TAIL // 8] = ticket << 39 | first
    layout = ring._membership._layout
    for age in range(1, layout.num_cells + 1):  # as 2^24 links would have left them
        segment.words[layout.cells // 8 + (ticket - age) % layout.num_cells] = cell_word(
            ticket - age, 63, 0, 1
        )
    ring._membership._control[C_NUMBER // 8] = 2**27 - 7  # the lane's next number
    reader, sent, got = ring.subscribe(), records(0, 30), []
    for start in range(0, 30, 3):
        if start % 2:
            assert ring.push_many(sent[start : start + 3]) == 3
        else:
            assert all(ring.push(record) for record in sent[start : start + 3])
        batch = reader.pop_many(3)
        assert (batch.lost, batch.first_ticket) == (0, first + start)
        got.append(batch.records)
    np.testing.assert_array_equal(np.concatenate(got)["payload"], sent["payload"])
    assert list(ring.subscribe(start="oldest").pop_many(9).records["sequence"]) == [26, 27, 28, 29]
    ring.unlink()
    ring.close()
