"""A file is whole or it is refused, whatever happened to it; the one before it survives a failed write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sage.durable import Contents, DamagedFile, read_checked, write_checked

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([True, False]),
    "empty": np.zeros((0, 4), np.int64),
}
CONTENTS = Contents(arrays=ARRAYS, scalars={"count": 2**70, "name": "ü", "list": [1.5, None]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "kept.safetensors"
    write_checked(path, CONTENTS, schema="test/1")
    return path


def test_what_was_written_is_read(path: Path) -> None:
    contents = read_checked(path, schema="test/1")
    assert contents.scalars == CONTENTS.scalars
    assert set(contents.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert contents.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(contents.arrays[name], array)


def test_a_truncated_file_is_refused_at_every_length(path: Path) -> None:
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(DamagedFile, match=r"kept\.safetensors is damaged"):
            read_checked(path, schema="test/1")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_refused_or_changes_nothing(path: Path, data: st.DataObject) -> None:
    whole = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    path.write_bytes(flipped)
    try:
        contents = read_checked(path, schema="test/1")
    except ValueError:
        return
    finally:
        path.write_bytes(whole)
    assert contents.scalars == CONTENTS.scalars  # the bit was padding
    assert all(np.array_equal(contents.arrays[name], array) for name, array in ARRAYS.items())


def test_a_damaged_file_is_set_aside_when_asked(path: Path) -> None:
    path.write_bytes(b"not a snapshot")
    with pytest.raises(DamagedFile, match="damaged"):
        read_checked(path, schema="test/1", set_aside=True)
    assert not path.exists()
    assert path.with_name("kept.safetensors.damaged").read_bytes() == b"not a snapshot"


def test_a_file_of_another_schema_is_refused_and_left_alone(path: Path) -> None:
    with pytest.raises(ValueError, match="test/1"):
        read_checked(path, schema="test/2", set_aside=True)
    assert path.exists()


def test_a_missing_file_is_missing_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_checked(tmp_path / "none", schema="test/1")


def test_a_write_that_fails_leaves_the_file_before_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        write_checked(path, Contents(arrays={}, scalars={}), schema="test/1")
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
