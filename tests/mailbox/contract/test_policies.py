import numpy as np
import pytest

from sage.mailbox import RECORD, SUMMARY, MailboxFull
from sage.mailbox.record import DEMOTED


def test_drop_oldest_delivers_the_latest(make_focus, publish, take):
    box = make_focus(slots=3, policy="drop_oldest")
    assert all(publish(box, value) for value in range(5))
    assert take(box) == [2, 3, 4]
    assert box.statistics().drops.oldest == 2


@pytest.mark.parametrize("policy", ["drop_newest", "error", "block"])
def test_the_other_policies_refuse_the_newcomer_and_count_it(make_focus, publish, take, policy):
    box = make_focus(slots=2, policy=policy)
    assert [publish(box, value, producer=value) for value in range(3)] == [True, True, False]
    with pytest.raises(MailboxFull, match="no free slot among 2"):
        box.loan((4,), producer=2, timeout_secs=0.01)
    found = box.statistics()
    assert found.drops.newest == found.drops.total == 2
    assert [p.drops.newest for p in found.producers] == [0, 0, 2]
    assert take(box) == [0, 1]


def test_the_least_trusted_goes_and_leaves_a_summary(make_focus, make_ring, publish, take):
    ring = make_ring()
    reader = ring.subscribe()
    box = make_focus(slots=2, policy="drop_least_trusted", demoted=ring)
    for value, trust in ((1, 0.9), (2, 0.2), (3, 0.5)):
        assert publish(box, value, trust=trust, producer=value)
    assert not publish(box, 4, trust=0.1, producer=4)
    assert take(box) == [1, 3]
    (summary,) = reader.pop_many(9).records.view(SUMMARY)
    assert (summary["mean"], summary["flags"], summary["producer"], summary["sequence"]) == (
        2.0,
        DEMOTED,
        2,
        2,
    )
    found = box.statistics()
    assert found.drops.least_trusted == 2
    assert [p.drops.least_trusted for p in found.producers] == [0, 1, 0, 1]


def test_bits_without_numpy_values_are_demoted_without_statistics(make_focus, make_ring):
    ring = make_ring()
    reader = ring.subscribe()
    box = make_focus(slots=1, policy="drop_least_trusted", demoted=ring)
    for sequence in range(2):
        with box.try_loan((4,), "bfloat16") as loan:
            loan.array[:] = 0x3F80
            loan.publish(stamp_ns=0, sequence=sequence)
    (summary,) = reader.pop_many(9).records.view(SUMMARY)
    assert np.isnan(summary["mean"])


def test_leased_and_loaned_slots_are_never_taken(make_focus, publish):
    box = make_focus(slots=2, policy="drop_oldest")
    publish(box, 1)
    lease, loan = box.try_receive(), box.try_loan((4,))
    assert box.try_loan((4,)) is None
    with pytest.raises(MailboxFull, match=r"slot 0 borrowed.*slot 1 loaned"):
        box.loan((4,), timeout_secs=0.01)
    lease.release()
    loan.discard()
    assert box.statistics().drops.newest == 2


def test_an_expired_message_makes_room_before_the_policy_is_asked(make_focus, publish, clock, take):
    box = make_focus(slots=2, policy="drop_newest")
    publish(box, 1)
    publish(box, 2, ttl_ns=10)
    clock.advance(10)
    assert publish(box, 3)
    assert take(box) == [1, 3]
    found = box.statistics()
    assert (found.drops.expired, found.drops.newest) == (1, 0)


def test_a_noisy_producer_cannot_take_more_than_its_quota(make_focus, publish, take):
    box = make_focus(slots=4, policy="drop_oldest", quota=2)
    publish(box, 100, producer=1)
    for value in range(10):
        assert publish(box, value, producer=2)
    publish(box, 101, producer=1)
    assert sorted(take(box)) == [8, 9, 100, 101]
    refusing = make_focus(slots=4, policy="drop_newest", quota=1)
    assert [publish(refusing, value, producer=2) for value in range(3)] == [True, False, False]
    assert publish(refusing, 5, producer=1)
    with pytest.raises(MailboxFull, match="producer 2 holds its quota of 1"):
        refusing.loan((4,), producer=2)
    assert refusing.statistics().drops.quota == 3


def _shares(box, publish, trusts, num_rounds):
    """The number of messages received from each producer while each has a message waiting."""
    counts, sequence = dict.fromkeys(trusts, 0), 0
    for _ in range(num_rounds):
        for producer, trust in trusts.items():
            while next((p.held for p in box.statistics().producers if p.producer == producer), 0) < 2:
                sequence += 1
                publish(box, sequence, producer=producer, trust=trust)
        with box.try_receive() as lease:
            counts[lease.meta.producer] += 1
    return counts


def test_equal_trust_gives_equal_shares(make_focus, publish):
    counts = _shares(make_focus(slots=8), publish, {1: 1.0, 2: 1.0, 3: 1.0}, 120)
    assert all(abs(count - 40) <= 4 for count in counts.values())


def test_trust_is_a_weight_and_no_producer_starves(make_focus, publish):
    counts = _shares(make_focus(slots=8), publish, {1: 1.0, 2: 0.5, 3: 0.0}, 250)
    assert counts[2] == pytest.approx(counts[1] / 2, rel=0.1)
    assert counts[3] == pytest.approx(counts[1] / 16, rel=0.2)


def test_first_in_first_out_by_producer(make_focus, publish, take):
    box = make_focus(slots=8)
    for value in range(6):
        publish(box, value, producer=value % 2, trust=0.3 if value % 2 else 1.0)
    order = take(box)
    assert [v for v in order if v % 2 == 0] == [0, 2, 4]
    assert [v for v in order if v % 2] == [1, 3, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slots": 0}, "slots is 0"),
        ({"policy": "maybe"}, "policy is 'maybe'"),
        ({"quota": 5}, "quota is 5"),
        ({"ttl_ns": 0}, "ttl_ns is 0"),
        ({"slot_bytes": None}, "give slot_bytes"),
        ({"slot_bytes": -1}, "slot_bytes is -1"),
        ({"pool_bytes": 100}, "do not fit"),
    ],
)
def test_wrong_options_are_refused_by_name(make_focus, options, message):
    with pytest.raises(ValueError, match=message):
        make_focus(**options)


def test_pool_bytes_are_shared_among_the_slots(make_focus):
    assert make_focus(slot_bytes=None, pool_bytes=4_000).slot_bytes == 1_000


@pytest.mark.parametrize("scores", [{"trust": 1.5}, {"trust": float("nan")}, {"quality": -0.1}])
def test_scores_outside_0_to_1_are_refused(make_focus, scores):
    loan = make_focus().try_loan((4,))
    with pytest.raises(ValueError, match="from 0 to 1"):
        loan.publish(stamp_ns=0, sequence=0, **scores)


def test_a_demotion_ring_must_hold_summaries(make_focus, make_ring):
    with pytest.raises(ValueError, match="summaries need 256"):
        make_focus(demoted=make_ring(record_bytes=128))
    assert RECORD.itemsize == 256
