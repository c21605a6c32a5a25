"""The end of the watchdog: no stream waits for a gate that is never opened."""

import pytest

from sage.mailbox.cuda import CudaError, FakeDriver
from sage.mailbox.cuda.ipc import PoolCache, SharedPool, Watchdog


@pytest.fixture
def unwritten(driver):
    """A pool of another process with a slot that is still being written."""
    producer = FakeDriver()
    pool, stream = SharedPool(producer, num_bytes=256, num_slots=1), producer.create_stream()
    producer.hold(stream)
    pool.written(0, stream)
    return PoolCache(driver).open(pool.ticket)


def test_after_its_end_no_gate_is_made(driver, unwritten):
    watchdog = Watchdog(driver, on_orphan=lambda ticket, slot: None)
    watchdog.close()
    with pytest.raises(CudaError, match="this stream would wait forever"):
        watchdog.wait(unwritten, 0, stream=0)
    driver.run()
    assert driver.clock(0) == 0


def test_an_error_in_its_thread_opens_all_gates_and_is_raised_by_the_next_wait(
    driver, unwritten, monkeypatch
):
    watchdog = Watchdog(driver, on_orphan=lambda ticket, slot: None)
    watchdog.wait(unwritten, 0, stream=0)

    def fail(event):
        raise CudaError("cuEventQuery: an illegal address was met")

    monkeypatch.setattr(driver, "is_done", fail)
    watchdog.start()
    watchdog._thread.join(30.0)
    driver.run()
    assert driver.clock(0) == 1
    with pytest.raises(CudaError, match="watchdog is closed") as caught:
        watchdog.wait(unwritten, 0, stream=0)
    assert "illegal address" in str(caught.value.__cause__)
    watchdog.close()
