"""Windows survive the way to disk and back, with what goes with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sage.durable import Contents, DamagedFile, write_checked
from sage.memory.windows.transitions import TransitionRing
from sage.memory.windows.window import WINDOW_FIELDS, Window
from sage.memory.windows.window_file import SCHEMA, load_windows, save_windows


def test_windows_are_read_bit_for_bit(
    tmp_path: Path, ring: TransitionRing, tick_into: Callable[[TransitionRing, int], None]
) -> None:
    for tick in range(24):
        tick_into(ring, tick)
    windows = ring.sample(5, 4, torch.Generator().manual_seed(0))
    assert windows is not None
    save_windows(tmp_path / "w", windows, {"is_new": np.array([True, False, True, True, False])})
    loaded, extra = load_windows(tmp_path / "w")
    for name in WINDOW_FIELDS:
        torch.testing.assert_close(
            getattr(loaded, name), getattr(windows, name), rtol=0, atol=0, equal_nan=True
        )
    assert extra["is_new"].tolist() == [True, False, True, True, False]


def test_loaded_windows_may_be_changed_in_place(tmp_path: Path, live: Callable[..., Window]) -> None:
    save_windows(tmp_path / "w", live(1.0))
    loaded, extra = load_windows(tmp_path / "w")
    loaded.values.add_(1.0)
    assert (loaded.values == 2).all()
    assert extra == {}


def test_a_file_without_a_tensor_raises(tmp_path: Path) -> None:
    write_checked(
        tmp_path / "w", Contents(arrays={"window.values": np.zeros((1, 2, 3))}, scalars={}), schema=SCHEMA
    )
    with pytest.raises(DamagedFile, match="deltas"):
        load_windows(tmp_path / "w")
