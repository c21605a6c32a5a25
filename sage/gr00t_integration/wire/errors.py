"""What is wrong with a message of a policy server or of its client.

Invariant: bytes from the network raise WireError and nothing else.
"""

from __future__ import annotations

from sage.errors import DataError, InputError

#: Arrays with these dtypes, as numpy writes them in a header without byte order.
DTYPES = frozenset({"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"})
PICKLE_REASON = (
    "pickle, which runs code of the sender when it is read (CVE-2026-25874): use a server that sends msgpack"
)


class WireError(DataError):
    """A message is damaged, too large, or not of this protocol."""


def refuse_pickle(data: bytes, what: str) -> None:
    """WireError where `data` begins as a pickle of protocol 2 or later, or as a file of torch.save.

    An empty msgpack map (0x80) is one byte, so what has a protocol number after it is no message.
    """
    is_pickle = len(data) > 2 and data[0] == 0x80 and 2 <= data[1] <= 5
    if is_pickle or data.startswith(b"PK\x03\x04"):
        raise WireError(f"{what}: refused: it is {PICKLE_REASON}")


def unsendable(value: object) -> InputError:
    """The error for a value that has no form on the wire."""
    return InputError(
        f"cannot send a {type(value).__name__}: give a numpy array in host memory, or a Python number, text,"
        " list or map"
    )


def check_dtype(descr: str, what: str, error: type[DataError] | type[InputError]) -> None:
    """Raises `error` for a dtype that is not of DTYPES. descr: as numpy's `dtype.str`."""
    if descr.lstrip("<>|=") in DTYPES:
        return
    if "O" in descr:
        raise error(f"{what}: dtype is object, which numpy stores as {PICKLE_REASON}")
    if "V" in descr:
        raise error(f"{what}: dtype is {descr!r} (bfloat16 or a record): give float32")
    raise error(f"{what}: dtype is {descr!r}: give integers, booleans or floating-point numbers")
