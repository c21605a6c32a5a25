"""The kernels' own text, compiled for the processor: each CUDA thread a thread, each group a barrier."""

import ctypes
import shutil
import subprocess
import threading

import numpy as np
import pytest

from sage.mailbox.cuda import FakeDriver, kernels
from sage.mailbox.cuda.conformance import RING_CHECKS, HostPushes, make_records
from sage.mailbox.cuda.ring import DeviceRing

SIZES = {np.uint64: ctypes.c_uint64, np.uint32: ctypes.c_uint32}


class HostLauncher:
    """Always two blocks of 32 threads: two groups of 16 lanes each."""

    def __init__(self, library):
        self.library = library

    def launch(self, kernel, num_blocks, num_threads, stream, arguments):
        call = getattr(self.library, kernel.replace("ring_", "host_"))
        shape = () if kernel == "ring_subscribe" else (ctypes.c_uint32(2), ctypes.c_uint32(32))
        call(*shape, *(SIZES[type(value)](int(value)) for value in arguments))


@pytest.fixture(scope="session")
def library(tmp_path_factory, pytestconfig):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ here to compile the kernels for the processor with")
    path = tmp_path_factory.mktemp("ring") / "ring.so"
    here = pytestconfig.rootpath / "tests/mailbox/cuda/ring_on_host.cpp"
    text = path.with_suffix(".cu")
    text.write_text(kernels.source())
    command = [
        compiler,
        "-std=c++20",
        "-O1",
        "-pthread",
        "-shared",
        "-fPIC",
        f'-DRING_SOURCE="{text}"',
        "-o",
        path,
        here,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized" in done.stderr or "barrier: No such file" in done.stderr:
        pytest.skip("this g++ has no C++20")
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(path))


@pytest.fixture
def make_ring(library):
    def make(**options):
        return HostPushes(DeviceRing(driver=FakeDriver(), launcher=HostLauncher(library), **options))

    return make


@pytest.mark.parametrize("check", RING_CHECKS)
def test_the_kernels_conform(check, make_ring):
    check(make_ring)


def test_a_users_kernel_pushes_record_by_record(library, make_ring):
    ring = make_ring(capacity=32)
    pop = ring.subscribe(start="oldest", max_records=32)
    sent, num_taken = make_records(0, 20), ctypes.c_uint32()
    address = ctypes.c_uint64(ring.ring.address)
    library.host_push_each(2, 32, address, ctypes.c_uint64(sent.ctypes.data), 20, ctypes.byref(num_taken))
    batch = pop()
    assert num_taken.value == len(batch) == 20
    found = np.sort(batch.records, order="sequence")
    assert (found["payload"] == sent["payload"]).all()


def test_nothing_torn_and_nothing_uncounted_while_two_producers_lap_a_reader(make_ring):
    ring = make_ring(capacity=8).ring
    reader, num_each, seen = ring.subscribe(start="oldest", max_records=8), 30, []

    def produce(number):
        producer = ring.producer()
        for step in range(num_each):
            records = make_records(number * 1_000 + step * 5, 5)
            producer.push_many(records.ctypes.data, 5)

    threads = [threading.Thread(target=produce, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.append(reader.take())
    while len(batch := reader.take()) or batch.lost:
        seen.append(batch)
    records = np.concatenate([batch.records for batch in seen])
    assert len(records) + sum(batch.lost for batch in seen) == 2 * num_each * 5
    assert (records["payload"] == (records["sequence"][:, None] * 7 + np.arange(192)) % 251).all()
    for number in (1, 2):  # first in, first out by producer
        mine = records["sequence"][records["sequence"] // 1_000 == number].astype(np.int64)
        assert (np.diff(mine) > 0).all()


def test_a_writer_stuck_a_lap_ago_costs_its_slot_and_no_wait(make_ring):
    ring = make_ring(capacity=8)
    pop = ring.subscribe(start="oldest", max_records=8)
    ring.push_many(make_records(0, 8))
    assert len(pop()) == 8
    stuck = ctypes.c_uint64.from_address(ring.ring.address + 256 + 8 * 2)  # the state word of slot 2
    stuck.value -= 1  # ticket 2 is being written, still
    ring.push_many(make_records(8, 8))
    first, second = pop(), pop()
    assert list(first.records["sequence"]) == [8, 9]
    assert (list(second.records["sequence"]), second.lost) == ([11, 12, 13, 14, 15], 1)
    assert ring.ring.num_voids() == 1


def test_invalid_options_raise_at_construction(make_ring):
    with pytest.raises(ValueError, match="power of two"):
        make_ring(capacity=12)
    with pytest.raises(ValueError, match="lossless"):
        make_ring(capacity=8, mode="both")
    ring = make_ring(capacity=8).ring
    with pytest.raises(ValueError, match="align"):
        ring.producer().push_many(0x1008, 1)
    readers = [ring.subscribe(max_records=1) for _ in range(16)]
    with pytest.raises(ValueError, match="16 subscribers"):
        ring.subscribe(max_records=1)
    readers[0].close()
    readers[0].close()
    with pytest.raises(ValueError, match="closed"):
        readers[0].pop_many()
    ring.subscribe(max_records=1)
