"""Focus messages as a Chrome trace."""

import json

import numpy as np
import pytest

from sage.mailbox.trace import MessageTrace, TracedMessage


def _message(sequence: int, mailbox: str = "camera", slot: int = 1) -> TracedMessage:
    return TracedMessage(
        mailbox=mailbox, slot=slot, generation=2, producer=7, sequence=sequence, num_bytes=24,
        captured_ns=1_000, published_ns=3_000, received_ns=10_000, released_ns=15_000,
    )  # fmt: skip


def test_three_spans_a_message_on_the_row_of_its_slot(tmp_path):
    trace = MessageTrace()
    trace.add(_message(0))
    trace.add(_message(1, mailbox="audio", slot=0))
    trace.write(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    names = {event["args"]["name"] for event in events if event["ph"] == "M"}
    assert names == {"camera", "audio", "slot 0", "slot 1"}
    spans = [(e["name"], e["ts"], e["dur"]) for e in events if e["ph"] == "X" and e["args"]["sequence"] == 0]
    assert spans == [("write", 1.0, 2.0), ("wait", 3.0, 7.0), ("read", 10.0, 5.0)]


def test_only_the_last_messages_are_stored():
    trace = MessageTrace(capacity=2)
    for sequence in range(5):
        trace.add(_message(sequence))
    assert len(trace) == 2
    assert {e["args"]["sequence"] for e in trace.to_chrome()["traceEvents"] if e["ph"] == "X"} == {3, 4}


def test_a_capacity_of_zero_is_refused():
    with pytest.raises(ValueError, match="capacity is 0"):
        MessageTrace(capacity=0)


def test_each_released_message_is_added_to_the_trace(make_focus, clock):
    box, trace = make_focus(), MessageTrace()
    box.keep_trace(trace)
    loan = box.loan((6,), producer=3)
    loan.array[:] = 1
    clock.advance(10)
    loan.publish(stamp_ns=900, sequence=5)
    clock.advance(20)
    lease = box.receive(timeout_secs=0.0)
    clock.advance(30)
    lease.release()
    box.keep_trace(None)
    box.send(np.ones(1), stamp_ns=1, sequence=6)
    with box.receive(timeout_secs=0.0):
        pass
    (message,) = trace.messages()
    assert (message.sequence, message.producer, message.num_bytes) == (5, 3, 24)
    assert (message.captured_ns, message.published_ns, message.received_ns, message.released_ns) == (
        900,
        1_010,
        1_030,
        1_060,
    )
