"""Conversion of a user's tensor to an array whose bytes can be copied.

Invariant: does not import torch; a caller with a torch tensor has imported it already.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.mailbox.tensor_spec import ITEM_BYTES

#: numpy has no type for these: arrays contain their bits, `tensor` has the real dtype.
_BITS = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}


@cache
def numpy_dtype(name: str) -> np.dtype:
    """The numpy dtype that stores elements of dtype `name`."""
    return np.dtype(_BITS.get(name, name))


def has_numpy_values(dtype: str) -> bool:
    """False for dtypes whose numpy array contains bits, not values (bfloat16 and float8)."""
    return dtype not in _BITS


def as_array(tensor: Any) -> tuple[np.ndarray, str]:
    """(array, dtype name) of an array or a torch tensor; bfloat16 and float8 as arrays of their bits.

    Raises InputError for other types, unknown dtypes, negative strides, and for meta and sparse tensors.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor):
        return _from_torch(torch, tensor)
    if not isinstance(tensor, np.ndarray):
        raise InputError(f"a {type(tensor).__name__} cannot be sent: give a numpy array or a torch tensor")
    if tensor.dtype.name not in ITEM_BYTES or not tensor.dtype.isnative:
        raise InputError(
            f"dtype is {tensor.dtype}: give one of {', '.join(sorted(ITEM_BYTES))} in this machine's byte"
            " order"
        )
    if any(stride < 0 for stride in tensor.strides):
        raise InputError("the array has negative strides: send np.ascontiguousarray(array)")
    return tensor, tensor.dtype.name


def _from_torch(torch: Any, tensor: Any) -> tuple[np.ndarray, str]:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in ITEM_BYTES:
        raise InputError(f"dtype is {dtype}: give one of {', '.join(sorted(ITEM_BYTES))}")
    if tensor.device.type == "meta":
        raise InputError(
            "the tensor is on the meta device, which has no data: move it to a device with data first"
        )
    if tensor.layout is not torch.strided:
        raise InputError(f"the tensor's layout is {tensor.layout}: send tensor.to_dense()")
    tensor = tensor.detach().cpu().resolve_neg()  # sync: send is a copy to host memory
    bits = numpy_dtype(dtype).name
    return (tensor if bits == dtype else tensor.view(getattr(torch, bits))).numpy(), dtype
