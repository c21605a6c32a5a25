"""Graphs have addresses in them, so there is one a slot; the host's bookkeeping is around each replay."""

import ctypes

from sage.mailbox.cuda.graphs import SlotGraphs


class FakeGraph:
    """What a capture leaves: an address and what to do there, and nothing that keeps a view alive."""

    def __init__(self, driver, address):
        self.driver, self.address = driver, address

    def replay(self):
        def add_one():
            ctypes.c_float.from_address(self.address).value += 1.0

        self.driver.launch(self.driver.current_stream("tensor"), add_one)


def test_each_slot_is_captured_once_and_replayed_thereafter(driver, make_box):
    box = make_box(slots=2)
    graphs, seen = SlotGraphs(lambda tensor: FakeGraph(driver, tensor.data_ptr())), []
    for number in range(10):
        loan = box.try_loan((1,))
        graphs.replay(loan)
        loan.publish(stamp_ns=number, sequence=number)
        with box.try_receive() as lease:
            seen.append(float(lease.array[0]))
    assert graphs.num_captured <= 2
    assert sum(seen) >= 10.0
    found = box.statistics()
    assert (found.leaks, found.free, found.bytes_copied) == (0, 2, 0)


def test_a_replay_on_a_readers_stream_holds_the_slot(driver, make_box):
    box, reader = make_box(), driver.create_stream()
    box.try_loan((1,)).publish(stamp_ns=0, sequence=0)
    driver.hold(reader)
    with driver.on(reader), box.try_receive() as lease:
        SlotGraphs(lambda tensor: FakeGraph(driver, tensor.data_ptr())).replay(lease)
    assert box.try_loan((1,)) is None
    driver.resume(reader)
    assert box.try_loan((1,)) is not None


def test_another_shape_on_the_same_slot_is_another_graph(driver, make_box):
    box, graphs = make_box(), SlotGraphs(lambda tensor: FakeGraph(driver, tensor.data_ptr()))
    for shape in ((1,), (2,), (1,)):
        with box.try_loan(shape) as loan:
            graphs.replay(loan)
    assert graphs.num_captured == 2
