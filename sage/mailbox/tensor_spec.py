"""Description of a tensor: shape, dtype name, device name. Does not import torch.

Invariant: `num_bytes` follows from the spec, so a pool can be sized before a device is opened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sage.errors import InputError

#: Bytes per element, by dtype name. bfloat16 and the float8 types have no numpy type and are sent as bytes.
ITEM_BYTES = {
    "bool": 1, "uint8": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8,
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8,
    "float8_e4m3fn": 1, "float8_e5m2": 1,
}  # fmt: skip
MAX_DIMS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Shape, dtype and device of a tensor, which need not exist.

    shape: up to 8 dims, each >= 0.  dtype: a key of ITEM_BYTES.  device: "cpu", "cuda" or "cuda:N".
    Raises InputError naming the field.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if len(self.shape) > MAX_DIMS or any(size < 0 for size in self.shape):
            raise InputError(f"shape is {self.shape}: give up to {MAX_DIMS} sizes, each 0 or more")
        if self.dtype not in ITEM_BYTES:
            raise InputError(f"dtype is {self.dtype!r}: give one of {', '.join(sorted(ITEM_BYTES))}")

    @property
    def num_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        return self.num_elements * ITEM_BYTES[self.dtype]
