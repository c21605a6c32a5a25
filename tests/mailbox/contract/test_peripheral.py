import threading

import numpy as np
import pytest

from sage.mailbox import MailboxClosed


def _pop_all(subscription, num):
    """Up to `num` records in bites of 5, and what was lost on the way."""
    parts, lost = [], 0
    while num > 0 and (len(batch := subscription.try_pop_many(min(5, num))) or batch.lost):
        parts.append(batch.records)
        lost += batch.lost
        num -= len(batch)
    return (np.concatenate(parts) if parts else np.empty(0)), lost


def test_ten_laps_arrive_whole_and_in_order(make_ring, records):
    ring = make_ring()
    reader, sent = ring.subscribe(), records(0, 80)
    for start in range(0, 80, 8):
        assert all(ring.push(record) for record in sent[start : start + 8])
        got, lost = _pop_all(reader, 100)
        assert lost == 0
        np.testing.assert_array_equal(got["payload"], sent["payload"][start : start + 8])
        assert (got["generation"] == start // 8 + 1).all()


@pytest.mark.parametrize("record_bytes", [128, 256])
def test_bulk_and_single_pushes_are_the_same(make_ring, records, record_bytes):
    one, many = (make_ring(record_bytes=record_bytes) for _ in range(2))
    readers, sent = (one.subscribe(), many.subscribe()), records(0, 6, record_bytes=record_bytes)
    for record in sent:
        one.push(record)
    assert many.push_many(sent) == 6
    assert readers[0].pop_many(9).records.tobytes() == readers[1].pop_many(9).records.tobytes()


def test_a_lossy_ring_counts_the_losses_of_a_slow_reader_exactly(make_ring, records):
    ring = make_ring()
    slow, fast = ring.subscribe(), ring.subscribe()
    seen = []
    for record in records(0, 21):
        assert ring.push(record)
        seen.extend(fast.pop_many(1).records["sequence"])
    batch = slow.pop_many(100)
    assert seen == list(range(21))
    assert (batch.lost, batch.first_ticket, list(batch.records["sequence"])) == (13, 13, list(range(13, 21)))
    assert [s.lost for s in ring.statistics().subscriptions] == [13, 0]


def test_a_bulk_push_larger_than_the_ring_counts_overwritten_records(make_ring, records):
    ring = make_ring()
    reader = ring.subscribe()
    ring.push_many(records(0, 3))
    assert ring.push_many(records(3, 30)) == 30
    got, lost = _pop_all(reader, 100)
    assert lost == 25
    np.testing.assert_array_equal(got["payload"], records(25, 8)["payload"])


def test_a_full_lossless_ring_refuses_and_counts_it(make_ring, records):
    ring = make_ring(mode="lossless")
    reader = ring.subscribe()
    assert ring.push_many(records(0, 11)) == 8
    assert not ring.push(records(8, 1))
    assert not ring.push(records(8, 1), timeout_secs=0.01)
    assert ring.statistics().refused == 5
    assert list(reader.pop_many(3).records["sequence"]) == [0, 1, 2]
    assert ring.push(records(8, 1))
    got, lost = _pop_all(reader, 100)
    assert (list(got["sequence"]), lost) == ([3, 4, 5, 6, 7, 8], 0)


def test_push_many_waits_for_room_up_to_its_timeout(make_ring, records):
    ring = make_ring(mode="lossless")
    reader = ring.subscribe()
    assert ring.push_many(records(0, 11), timeout_secs=0.01) == 8
    assert ring.statistics().refused == 3
    results = []
    writer = threading.Thread(
        target=lambda: results.append(ring.push_many(records(8, 21), timeout_secs=30.0))
    )
    writer.start()
    numbers = []
    while len(numbers) < 29:
        numbers += list(reader.pop_many(5, timeout_secs=30.0).records["sequence"])
    writer.join(30.0)
    assert results == [21]
    assert numbers == list(range(29))
    assert ring.statistics().refused == 3


def test_a_close_ends_a_waiting_push_many_which_returns_what_was_appended(make_ring, records):
    ring = make_ring(mode="lossless")
    reader = ring.subscribe()
    results = []
    writer = threading.Thread(
        target=lambda: results.append(ring.push_many(records(0, 11), timeout_secs=30.0))
    )
    writer.start()
    while ring.statistics().pushed < 8:
        assert writer.is_alive()
    ring.close()
    writer.join(30.0)
    assert results == [8]
    assert ring.statistics().refused == 3
    with pytest.raises(MailboxClosed):
        ring.push_many(records(8, 1), timeout_secs=30.0)
    reader.close()


def test_a_lossless_ring_without_subscribers_never_blocks(make_ring, records):
    ring = make_ring(mode="lossless")
    assert ring.push_many(records(0, 8)) == 8
    assert ring.push(records(8, 1))
    assert ring.push_many(records(9, 30)) == 30


def test_a_leaver_unblocks_the_writer(make_ring, records):
    ring = make_ring(mode="lossless")
    stuck = ring.subscribe()
    ring.push_many(records(0, 8))
    results = []
    writer = threading.Thread(target=lambda: results.append(ring.push(records(8, 1), timeout_secs=30.0)))
    writer.start()
    stuck.close()
    writer.join(30.0)
    assert results == [True]


def test_a_bulk_pop_is_partial_then_empty(make_ring, records):
    ring = make_ring()
    reader = ring.subscribe()
    ring.push_many(records(0, 3))
    assert [len(reader.try_pop_many(2)) for _ in range(3)] == [2, 1, 0]
    with pytest.raises(ValueError, match="max_records is 0"):
        reader.pop_many(0)


def test_pop_into_a_given_array_wraps_round_the_end(make_ring, records):
    ring = make_ring()
    reader, out = ring.subscribe(), np.zeros(8, dtype=ring.dtype)
    ring.push_many(records(0, 5))
    reader.pop_many(8, out=out)
    ring.push_many(records(5, 7))
    batch = reader.pop_many(8, out=out)
    assert np.shares_memory(batch.records, out)
    np.testing.assert_array_equal(batch.records["payload"], records(5, 7)["payload"])
    with pytest.raises(ValueError, match="contiguous"):
        reader.pop_many(9, out=out)


def test_a_popped_batch_is_never_rewritten(make_ring, records):
    ring = make_ring()
    reader = ring.subscribe()
    ring.push_many(records(0, 8))
    popped = reader.pop_many(8).records
    ring.push_many(records(8, 8))
    np.testing.assert_array_equal(popped["payload"], records(0, 8)["payload"])


def test_a_group_sees_each_record_once(make_ring, records):
    ring = make_ring()
    members = [ring.subscribe(group="workers") for _ in range(2)]
    alone = ring.subscribe()
    ring.push_many(records(0, 8))
    shares = [list(members[i % 2].pop_many(2).records["sequence"]) for i in range(4)]
    assert [number for share in shares for number in share] == list(range(8))
    assert len(alone.pop_many(10)) == 8
    members[0].close()
    ring.push(records(8, 1))
    assert len(members[1].pop_many(5)) == 1


def test_a_late_joiner_gets_the_history_or_resumes(make_ring, records):
    ring = make_ring()
    ring.push_many(records(0, 12))
    assert list(ring.subscribe(start="oldest").pop_many(99).records["sequence"]) == list(range(4, 12))
    assert len(ring.subscribe(start="latest").pop_many(99)) == 0
    assert list(ring.subscribe(start=10).pop_many(99).records["sequence"]) == [10, 11]
    resumed = ring.subscribe(start=1).pop_many(99)
    assert (resumed.lost, len(resumed)) == (3, 8)
    with pytest.raises(ValueError, match="from 0 to 12"):
        ring.subscribe(start=13)


def test_no_stale_bytes_past_the_length(make_ring, records):
    ring = make_ring(capacity=1)
    reader = ring.subscribe()
    ring.push(records(0, 1))
    short = records(1, 1)
    short["length"] = 10
    for push in (ring.push, ring.push_many):
        push(short)
        payload = reader.pop_many(1).records["payload"][0]
        np.testing.assert_array_equal(payload[:10], short["payload"][0, :10])
        assert not payload[10:].any()
    mixed = records(0, 2)
    mixed["length"] = [3, 5]
    both = make_ring()
    reader = both.subscribe()
    both.push_many(mixed)
    assert [int((row != 0).sum()) for row in reader.pop_many(2).records["payload"]] == [
        int((mixed["payload"][i, : mixed["length"][i]] != 0).sum()) for i in range(2)
    ]


def test_a_record_of_another_layout_is_refused(make_ring, records):
    ring = make_ring()
    with pytest.raises(ValueError, match="record of 128 bytes"):
        ring.push(records(0, 1, record_bytes=128))
    with pytest.raises(ValueError, match="give an array"):
        ring.push_many(records(0, 2, record_bytes=128))
    long = records(0, 1)
    long["length"] = 193
    for push in (ring.push, ring.push_many):
        with pytest.raises(ValueError, match="length is 193"):
            push(long)
    for options, message in (
        ({"capacity": 12}, "power of two"),
        ({"record_bytes": 64}, "128, 256"),
        ({"mode": "x"}, "lossless"),
    ):
        with pytest.raises(ValueError, match=message):
            make_ring(**options)


def test_counting_goes_past_32_bits(make_ring, records):
    ring = make_ring(first_ticket=2**32 - 4)
    reader = ring.subscribe(start="oldest")
    sent = records(0, 10)
    sent["sequence"] += 2**32 - 4
    for record in sent[:5]:
        ring.push(record)
    ring.push_many(sent[5:])
    batch = reader.pop_many(99)
    assert (batch.first_ticket, batch.lost) == (2**32 - 2, 2)
    np.testing.assert_array_equal(batch.records["sequence"], sent["sequence"][2:])


def test_the_generation_wraps_at_32_bits(make_ring, records):
    ring = make_ring(first_ticket=8 * (2**32 - 1) - 1)
    reader = ring.subscribe()
    ring.push(records(0, 1))
    ring.push_many(records(1, 1))
    assert list(reader.pop_many(2).records["generation"]) == [2**32 - 1, 0]


def test_records_are_aligned(make_ring):
    assert make_ring().address % 128 == 0


def test_many_to_many_loses_nothing_and_has_one_order(make_ring, records):
    ring = make_ring(capacity=256, mode="lossless")
    num_each, readers = 2_000, [ring.subscribe() for _ in range(2)]
    start, seen = threading.Barrier(5), [[], []]

    def produce(producer):
        sent = records(0, num_each, producer=producer)
        start.wait(30.0)
        for record in sent:
            assert ring.push(record, timeout_secs=30.0)

    def consume(index):
        start.wait(30.0)
        while sum(map(len, seen[index])) < 3 * num_each:
            batch = readers[index].pop_many(64, timeout_secs=30.0)
            assert len(batch)
            assert batch.lost == 0
            seen[index].append(batch.records)

    threads = [threading.Thread(target=produce, args=(p,)) for p in range(3)]
    threads += [threading.Thread(target=consume, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    one, two = (np.concatenate(parts) for parts in seen)
    assert one.tobytes() == two.tobytes()
    for producer in range(3):
        mine = one[one["producer"] == producer]
        np.testing.assert_array_equal(
            mine["sequence"], np.arange(num_each)
        )  # first in, first out by producer
        np.testing.assert_array_equal(mine["payload"], records(0, num_each, producer=producer)["payload"])


def test_after_a_close_readers_get_what_is_left_then_an_error(make_ring, records):
    ring = make_ring()
    reader = ring.subscribe()
    ring.push_many(records(0, 2))
    ring.close()
    ring.close()
    assert len(reader.pop_many(9)) == 2
    for call in (
        lambda: reader.pop_many(1),
        lambda: ring.push(records(0, 1)),
        lambda: ring.push_many(records(0, 1)),
        ring.subscribe,
    ):
        with pytest.raises(MailboxClosed):
            call()


def test_a_closed_subscription_raises(make_ring, records):
    ring = make_ring()
    with ring.subscribe() as reader:
        ring.push(records(0, 1))
    reader.close()
    with pytest.raises(MailboxClosed, match="subscription"):
        reader.pop_many(1)


def test_telemetry_adds_up(make_ring, records, clock):
    ring = make_ring()
    reader = ring.subscribe()
    ring.push_many(records(0, 3))
    clock.advance(1_000)
    reader.pop_many(2)
    ring.push_many(records(3, 12))
    reader.pop_many(99)
    found = ring.statistics()
    assert (found.pushed, found.popped, found.lost, found.refused) == (15, 10, 5, 0)
    assert (found.depth, found.high_water, found.bytes_copied) == (0, 8, 25 * 256)
    assert found.push_to_pop.count == 2
    assert 1_000 <= found.push_to_pop.p99_ns <= 1_250
