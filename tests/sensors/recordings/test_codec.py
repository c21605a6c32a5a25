"""Readings as messages: what cannot be encoded is an error of the reading, not of the disk."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sage.errors import DataError
from sage.sensors.recordings.codec import decode_picture, encode_jpeg

av = pytest.importorskip("av")


@pytest.mark.parametrize("shape", [(16, 24, 3), (16, 24), (16, 24, 1), (5, 7, 3)])
def test_a_picture_comes_back_in_colour(shape: tuple[int, ...]) -> None:
    found = decode_picture(encode_jpeg(np.full(shape, 90, dtype=np.uint8)))
    assert found.shape == (*shape[:2], 3)
    assert np.abs(found.astype(int) - 90).max() < 8


def test_a_size_that_jpeg_does_not_have_is_named() -> None:
    with pytest.raises(DataError, match="a picture of \\(1, 70000, 3\\) cannot be stored as JPEG"):
        encode_jpeg(np.zeros((1, 70_000, 3), dtype=np.uint8))


def test_an_error_of_the_encoder_is_not_taken_for_one_of_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(av, "CodecContext", SimpleNamespace(create=refuses))
    with pytest.raises(DataError, match="input/output error"):
        encode_jpeg(np.zeros((4, 4, 3), dtype=np.uint8))
