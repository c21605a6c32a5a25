"""The real driver's code against a stub of its library; NVIDIA's header, if installed, checks the
prototypes.
"""

import ctypes
import gc
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sage.mailbox import FocusMailbox, ManualClock, RealClock
from sage.mailbox.cuda import CudaBackend, CudaError, UnifiedBackend
from sage.mailbox.cuda.ipc import PoolCache, SharedPool, export
from sage.mailbox.cuda.libcuda import LibcudaDriver, Library
from sage.mailbox.cuda.unified_probe import answer, probe
from sage.mailbox.shared import SharedFocus

STUB = "tests/mailbox/cuda/libcuda_stub.c"


def _compiler():
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here")
    return compiler


@pytest.fixture(scope="module")
def stub(tmp_path_factory, pytestconfig):
    path = tmp_path_factory.mktemp("stub") / "libcuda_stub.so"
    subprocess.run(
        [_compiler(), "-shared", "-fPIC", "-O1", "-o", path, pytestconfig.rootpath / STUB], check=True
    )
    return str(path)


@pytest.fixture
def backend(stub):
    return CudaBackend(driver=LibcudaDriver(library=stub), placement="mapped")


def test_the_stub_agrees_with_nvidias_header(pytestconfig, tmp_path):
    found = importlib.util.find_spec("nvidia.cu13") if importlib.util.find_spec("nvidia") else None
    places = [Path(place) / "include" for place in (found.submodule_search_locations or [] if found else [])]
    places += [Path("/usr/local/cuda/include")]
    header = next((place for place in places if (place / "cuda.h").exists()), None)
    if header is None:
        pytest.skip("no cuda.h here: pip install nvidia-cuda-runtime")
    command = [
        _compiler(),
        "-DWITH_CUDA_H",
        f"-I{header}",
        "-c",
        "-o",
        tmp_path / "stub.o",
        pytestconfig.rootpath / STUB,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_machine_without_the_driver_raises_an_error_that_names_it():
    with pytest.raises(CudaError, match="no NVIDIA driver on this machine"):
        Library("libno_such_driver.so.1")


def test_facts_are_read_and_a_device_that_is_not_there_is_refused(stub):
    facts = LibcudaDriver(library=stub).facts
    assert (facts.name, facts.capability, facts.is_integrated, facts.num_devices) == (
        "Stub",
        (9, 0),
        False,
        1,
    )
    with pytest.raises(CudaError, match="device is 3: this process sees 1"):
        LibcudaDriver(3, library=stub)


def test_an_error_has_the_calls_name_and_the_drivers_words(stub):
    with pytest.raises(CudaError, match="cuMemAlloc_v2 failed with 2: out of memory"):
        LibcudaDriver(library=stub).allocate(1 << 41)


def test_a_focus_message_goes_through_the_drivers_events(backend, stub):
    library = ctypes.CDLL(stub)
    box = FocusMailbox("real", clock=ManualClock(), slots=1, slot_bytes=64, backend=backend)
    order = box._allocator.pool.order
    order.writing(0, "tensor")  # as a kernel's writer: the stub shows no tensors
    order.written(0)
    order.reading(0, "tensor")
    library.stub_hold(1)
    fence = order.retired(0, is_holder=True)
    assert not fence.is_passed()
    library.stub_hold(0)
    assert fence.is_passed()
    loan = box.try_loan((4,))
    loan.array[:] = 2.0
    loan.publish(stamp_ns=0, sequence=0)
    with box.try_receive() as lease:
        assert (lease.array == 2.0).all()


def test_the_threads_own_context_is_current_again_after_every_call(backend, stub):
    driver, library = backend.driver, ctypes.CDLL(stub)
    event = driver.create_event()
    driver.record(event, 0)  # the stub refuses it without a context
    driver.wait(0, event)
    assert driver.is_done(event)
    assert not library.stub_has_context()


def test_a_capture_is_seen(backend, stub):
    order = backend.order(1)
    ctypes.CDLL(stub).stub_capture(1)
    try:
        with pytest.raises(CudaError, match="graph capture"):
            order.writing(0, "tensor")
    finally:
        ctypes.CDLL(stub).stub_capture(0)


def test_memory_goes_back_with_the_last_view_of_it(backend, stub):
    library = ctypes.CDLL(stub)
    before = library.stub_allocated()
    array = backend.allocate(100)
    assert not array.any()
    view = array[10:20]
    del array
    gc.collect()
    assert library.stub_allocated() == before + 1
    del view
    gc.collect()
    assert library.stub_allocated() == before


def test_copies_and_handles_go_through(backend):
    driver = backend.driver
    source, memory = np.arange(64, dtype=np.uint8), driver.allocate(64)
    out = np.zeros(64, dtype=np.uint8)
    driver.copy(memory.address, source.ctypes.data, 64, 0)
    driver.copy(out.ctypes.data, memory.address, 64, 0)
    driver.synchronize(0)
    assert (out == source).all()
    pool = SharedPool(driver, num_bytes=4096, num_slots=2)
    pool.written(1, 0)
    opened = PoolCache(driver).open(pool.ticket)
    assert opened.allocation.address == pool.allocation.address
    assert driver.is_done(opened.events[1])
    driver.wait_value(0, memory.address, 1)
    assert driver.enable_peer(1)
    with pytest.raises(CudaError, match="expandable_segments"):
        export(driver, memory.address + 8)


def test_a_shared_pool_is_registered_and_its_events_go_through(stub, tmp_path):
    library, driver = ctypes.CDLL(stub), LibcudaDriver(library=stub)
    before = library.stub_registered()
    assert probe(driver, lambda path, handle: answer(driver, path, handle) or "", folder=tmp_path) == (
        None,
        None,
        None,
    )
    name = f"test.{os.getpid()}.libcuda"
    backend = UnifiedBackend(driver=driver)
    with SharedFocus.create(
        name, clock=RealClock(), slots=1, slot_bytes=64, engine="plain", backend=backend
    ) as box:
        assert library.stub_registered() == before + 1
        exchange, loan = box._exchange, box.loan((4,))
        exchange._join(loan, 0)  # as a kernel's writer: the stub shows no tensors
        loan.publish(stamp_ns=0, sequence=0)
        with box.receive(timeout_secs=1.0) as lease:
            assert not lease.array.any()
            exchange._join(lease, 0)
            library.stub_hold(1)
        assert box.try_loan((4,)) is None
        library.stub_hold(0)
        assert box.try_loan((4,)) is not None
        box.unlink()
    del box, exchange, loan, lease
    gc.collect()
    assert library.stub_registered() == before
