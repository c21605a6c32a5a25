"""Pools between processes: two fake drivers are two processes' views of one device."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

from sage.mailbox.cuda import CudaError, FakeDriver
from sage.mailbox.cuda.ipc import Owner, PoolCache, SharedPool, Watchdog
from sage.mailbox.cuda.staging import Staging
from sage.mailbox.cuda.views import host_view


@pytest.fixture
def dead():
    """A process that was there and is no more."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner.of(process.pid)
    assert owner.is_alive()
    process.communicate(b"\n")
    return owner


def _watched(driver):
    orphans = []
    return Watchdog(driver, on_orphan=lambda ticket, slot: orphans.append(slot)), orphans


def test_a_pool_is_opened_once_however_many_messages(driver):
    producer = FakeDriver()
    pool = SharedPool(producer, num_bytes=256, num_slots=2)
    cache = PoolCache(driver)
    opened = [cache.open(pool.ticket) for _ in range(5)]
    assert all(each is opened[0] for each in opened)
    assert driver.counts.opened_memories == 1
    assert opened[0].allocation.address == pool.allocation.address
    assert producer.counts.opened_memories == 0


def test_a_reader_in_another_process_comes_after_the_writers_kernel(driver):
    producer = FakeDriver()
    pool, stream, seen = SharedPool(producer, num_bytes=256, num_slots=2), producer.create_stream(), []
    opened, (watchdog, orphans) = PoolCache(driver).open(pool.ticket), _watched(driver)
    producer.hold(stream)
    pool.written(1, stream)
    watchdog.wait(opened, 1, stream=0)
    driver.launch(0, lambda: seen.append("read"))
    assert (watchdog.poll(), seen) == (1, [])
    producer.resume(stream)
    assert watchdog.poll() == 0
    driver.run()
    assert (seen, orphans) == (["read"], [])


def test_a_writing_that_is_done_costs_no_gate(driver):
    pool = SharedPool(FakeDriver(), num_bytes=256, num_slots=1)
    pool.written(0, 0)
    watchdog, _ = _watched(driver)
    watchdog.wait(PoolCache(driver).open(pool.ticket), 0, stream=0)
    assert (watchdog.poll(), driver.clock(0)) == (0, 0)


def test_a_dead_producer_blocks_no_stream_and_is_reported(driver, dead):
    producer = FakeDriver()
    pool, stream, seen = SharedPool(producer, num_bytes=256, num_slots=2), producer.create_stream(), []
    producer.hold(stream)
    pool.written(0, stream)
    opened = PoolCache(driver).open(dataclasses.replace(pool.ticket, owner=dead))
    watchdog, orphans = _watched(driver)
    watchdog.wait(opened, 0, stream=0)
    driver.launch(0, lambda: seen.append("went on"))
    watchdog.poll()
    driver.run()
    assert (seen, orphans) == (["went on"], [0])


def test_a_slow_producer_does_not_delay_readers_of_another(driver):
    slow, quick, other = FakeDriver(), FakeDriver(), driver.create_stream()
    pools = [SharedPool(producer, num_bytes=64, num_slots=1) for producer in (slow, quick)]
    (watchdog, _), cache = _watched(driver), PoolCache(driver)
    for producer, pool, stream in zip((slow, quick), pools, (0, other)):
        producer.hold(0)
        pool.written(0, 0)
        watchdog.wait(cache.open(pool.ticket), 0, stream=stream)
    quick.resume(0)
    assert watchdog.poll() == 1
    driver.run()
    assert (driver.clock(0), driver.clock(other)) == (0, 1)


def test_the_watchdogs_thread_opens_gates_and_its_end_leaves_none_shut(driver, dead):
    producer = FakeDriver()
    pool, stream = SharedPool(producer, num_bytes=256, num_slots=1), producer.create_stream()
    producer.hold(stream)
    pool.written(0, stream)
    opened, (watchdog, _) = PoolCache(driver).open(pool.ticket), _watched(driver)
    watchdog.start()
    watchdog.wait(opened, 0, stream=0)
    watchdog.close()
    watchdog.close()
    driver.run()
    assert driver.clock(0) == 1


def test_an_integrated_device_shares_a_file_in_memory_instead(tmp_path):
    tegra, other = FakeDriver(is_integrated=True), FakeDriver(is_integrated=True)
    pool = SharedPool(tegra, num_bytes=4096, num_slots=1, folder=tmp_path)
    assert pool.ticket.kind == "registered"
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    host_view(pool.allocation)[:4] = (1, 2, 3, 4)
    opened = PoolCache(other).open(pool.ticket)
    assert list(host_view(opened.allocation)[:4]) == [1, 2, 3, 4]
    assert opened.allocation.address != pool.allocation.address
    assert other.counts.opened_memories == 0
    pool.close()
    assert not file.exists()
    with pytest.raises(CudaError, match="its owner has closed it"):
        PoolCache(other).open(pool.ticket)


def test_memory_without_a_handle_is_refused_with_the_reason():
    with pytest.raises(CudaError, match="expandable_segments"):
        SharedPool(FakeDriver(segments=True), num_bytes=64, num_slots=1)


def test_a_pool_of_another_kind_of_device_is_refused(driver):
    pool = SharedPool(FakeDriver(is_integrated=True), num_bytes=4096, num_slots=1)
    with pytest.raises(CudaError, match="same GPU"):
        PoolCache(driver).open(pool.ticket)
    pool.close()


def test_a_number_used_again_is_not_the_process_that_had_it():
    mine = Owner.of(os.getpid())
    assert mine.is_alive()
    assert not dataclasses.replace(mine, start_ticks=mine.start_ticks - 1).is_alive()


def test_staging_saves_and_loads_the_result_of_queued_work(driver, tmp_path):
    memory, stream = driver.allocate(64), driver.create_stream()
    with Staging(driver, buffer_bytes=64, num_buffers=1) as staging:
        driver.hold(stream)
        driver.launch(stream, lambda: memory.owner.fill(7))
        saved = staging.save(memory.address, 64, tmp_path / "slot.bin", stream=stream)
        assert not saved.done()
        assert list(tmp_path.iterdir()) == []
        driver.resume(stream)
        assert saved.result(30.0).read_bytes() == bytes([7]) * 64
        memory.owner.fill(0)
        assert staging.load(tmp_path / "slot.bin", memory.address, stream=stream) == 64
    assert (np.asarray(memory.owner) == 7).all()
    with pytest.raises(ValueError, match="raise buffer_bytes"):
        staging.save(memory.address, 65, tmp_path / "large.bin", stream=stream)


def test_a_save_that_fails_raises_from_its_future(driver, tmp_path):
    with Staging(driver, buffer_bytes=8) as staging, pytest.raises(FileNotFoundError):
        staging.save(driver.allocate(8).address, 8, tmp_path / "nowhere" / "slot.bin", stream=0).result(30.0)
