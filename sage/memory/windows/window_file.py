"""Windows in a file: how replay and examination reach the sleep process.

Invariant: reading returns exactly what was written, or raises with the file's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from sage.durable import Contents, DamagedFile, read_checked, write_checked
from sage.memory.windows.window import WINDOW_FIELDS, Window

SCHEMA = "windows/1"


def save_windows(path: Path, windows: Window, extra: Mapping[str, np.ndarray] | None = None) -> None:
    """Write windows and `extra` arrays. OSError when the disk is full."""
    tensors = {
        f"window.{name}": getattr(windows, name).detach().cpu().numpy() for name in WINDOW_FIELDS
    }  # sync: to disk
    arrays = {**tensors, **{f"extra.{name}": array for name, array in (extra or {}).items()}}
    write_checked(path, Contents(arrays=arrays, scalars={}), schema=SCHEMA)


def load_windows(path: Path) -> tuple[Window, dict[str, np.ndarray]]:
    """Windows and the extra arrays. FileNotFoundError, DamagedFile, or InputError for another schema."""
    arrays = read_checked(path, schema=SCHEMA).arrays
    missing = [name for name in WINDOW_FIELDS if f"window.{name}" not in arrays]
    if missing:
        raise DamagedFile(f"{path} has no {', '.join(missing)}: write it again with save_windows")
    windows = Window(**{name: torch.from_numpy(arrays[f"window.{name}"]) for name in WINDOW_FIELDS})
    return windows, {
        name.removeprefix("extra."): array for name, array in arrays.items() if name.startswith("extra.")
    }
