"""Arrays and bytes of every kind go through a shared ring alike, read by a compiled step or by Python."""

import itertools
import os

import numpy as np
import pytest

from sage.errors import InputError
from sage.mailbox import RECORD, RealClock
from sage.mailbox.shared import SharedPeripheral
from sage.mailbox.shared.memory.engine_choice import why_plain
from sage.mailbox.shared.ring import array_memory
from sage.mailbox.shared.ring.array_memory import address_of

_numbers = itertools.count()


@pytest.fixture(params=["plain"] if why_plain() else ["numba", "plain"])
def ring(request):
    name = f"test.{os.getpid()}.a{next(_numbers)}"
    ring = SharedPeripheral.create(name, clock=RealClock(), capacity=64, engine=request.param)
    yield ring
    ring.unlink()
    ring.close()


def _off_by_one(array):
    """The same values at an address that is no multiple of 8."""
    memory = np.zeros(array.nbytes + 8, np.uint8)
    shift = (1 - address_of(memory)) % 8
    moved = memory[shift : shift + array.nbytes].view(array.dtype)
    moved[:] = array
    return moved


def _read_only(array):
    array = array.copy()
    array.setflags(write=False)
    return array


SAME_DTYPE = np.dtype(
    {name: getattr(RECORD, name) for name in ("names", "itemsize")}
    | {"formats": [RECORD.fields[name][0] for name in RECORD.names]}
    | {"offsets": [RECORD.fields[name][1] for name in RECORD.names]}
)


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array,
        lambda array: np.repeat(array, 2)[::2],
        lambda array: array[::-1].copy()[::-1],
        lambda array: array.astype(SAME_DTYPE),
        _off_by_one,
        _read_only,
        lambda array: array.view(type("Records", (np.ndarray,), {})),
    ],
)
def test_records_arrive_whole_from_every_kind_of_array(ring, records, change):
    reader, sent = ring.subscribe(), records(0, 10)
    ring.push(sent[:1])  # claims the lane: from here on the compiled step reads the array
    assert ring.push_many(change(sent[1:])) == 9
    got = reader.pop_many(64).records
    np.testing.assert_array_equal(got["payload"], sent["payload"])
    np.testing.assert_array_equal(got["sequence"], np.arange(10))


def test_no_records_are_no_push(ring, records):
    ring.push(records(0, 1))
    assert ring.push_many(records(1, 4)[:0]) == 0
    assert ring.push_many(records(1, 4)[::2][:0]) == 0


@pytest.mark.parametrize(
    "out",
    [
        np.zeros(8, RECORD)[::2],
        np.zeros((2, 4), RECORD),
        np.zeros(3, RECORD),
        _read_only(np.zeros(4, RECORD)),
    ],
)
def test_an_out_that_cannot_take_the_records_is_refused_and_stays_as_it_is(ring, records, out):
    ring.push_many(records(1, 4))
    reader, before = ring.subscribe(start="oldest"), out.tobytes()
    with pytest.raises(InputError, match="contiguous, writable"):
        reader.pop_many(4, out=out)
    assert out.tobytes() == before
    assert len(reader.pop_many(4, out=np.zeros(6, SAME_DTYPE))) == 4


@pytest.mark.parametrize("size", [255, 257, 0])
def test_bytes_of_another_size_are_refused(ring, records, size):
    ring.push(records(0, 1))
    with pytest.raises(InputError, match=f"a record of {size} bytes"):
        ring.push(bytes(size))


def test_the_probe_finds_an_offset_that_is_wrong(monkeypatch):
    array = np.zeros((3, 5), np.int16)
    assert array_memory._is_known(array) == array_memory.IS_KNOWN
    monkeypatch.setattr(array_memory, "NDIM", array_memory.NDIM + 8)
    assert not array_memory._is_known(array)
