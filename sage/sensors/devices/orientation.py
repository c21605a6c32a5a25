"""How a picture is turned for display: the display matrix that phones write into their videos.

Invariant: `upright` returns the picture as players show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """Transpose rows and columns first, then flip. All False: as it is stored."""

    is_transposed: bool = False
    flips_rows: bool = False
    flips_columns: bool = False

    @classmethod
    def of_frame(cls, frame: Any) -> Orientation:
        """Of a decoded frame of PyAV. DataError for a matrix that is no multiple of a quarter turn."""
        data = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        # (3, 3), row vectors: (x', y') = (a x + c y, b x + d y), ISO/IEC 14496-12 section 6.2.2
        a, b, _, c, d, *_ = np.frombuffer(bytes(data), dtype=np.int32).tolist()
        if a == d == 0 and b and c:
            return cls(is_transposed=True, flips_rows=b < 0, flips_columns=c < 0)
        if b == c == 0 and a and d:
            return cls(flips_rows=d < 0, flips_columns=a < 0)
        raise DataError(
            "its display matrix is no multiple of a quarter turn: rotate the video itself, for example with"
            " ffmpeg -i IN OUT"
        )

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) for display of a picture stored as width x height, and the other way round."""
        return (height, width) if self.is_transposed else (width, height)

    def upright(self, picture: np.ndarray) -> np.ndarray:
        """picture: (H, W, C) as stored. A view of it as shown."""
        if self.is_transposed:
            picture = picture.swapaxes(0, 1)
        if self.flips_rows:
            picture = picture[::-1]
        return picture[:, ::-1] if self.flips_columns else picture
