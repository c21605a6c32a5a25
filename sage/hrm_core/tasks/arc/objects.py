"""Objects of an ARC grid: connected cells, bounding boxes, the background colour.

Invariant: functions return new arrays or views and change no grid. Shapes: grid (rows, cols) of colours 0..9.
"""

from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.arc.grid import NUM_COLOURS

_SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))
_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def commonest_colour(grid: np.ndarray) -> int:
    """The colour of most cells; of equally many, the lowest."""
    return int(np.bincount(grid.reshape(-1), minlength=NUM_COLOURS).argmax())


def components(mask: np.ndarray, *, has_diagonals: bool = False) -> tuple[np.ndarray, int]:
    """Number the connected parts of a bool mask (rows, cols): labels int32 1, 2, .. in reading order, 0
    outside the mask; and how many there are.

    has_diagonals: cells that touch at a corner are connected.
    """
    steps = _SIDES + _CORNERS if has_diagonals else _SIDES
    labels = np.zeros(mask.shape, np.int32)
    num = 0
    for start in zip(*np.nonzero(mask)):
        if labels[start]:
            continue
        num += 1
        labels[start] = num
        ahead = [start]
        while ahead:
            row, col = ahead.pop()
            for down, right in steps:
                at = row + down, col + right
                is_inside = 0 <= at[0] < mask.shape[0] and 0 <= at[1] < mask.shape[1]
                if is_inside and mask[at] and not labels[at]:
                    labels[at] = num
                    ahead.append(at)
    return labels, num


def bounding_box(mask: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns of the smallest rectangle with all True cells; None where there are none."""
    if not mask.any():
        return None
    rows, cols = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
