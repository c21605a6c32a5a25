"""What hosts exchange: keys, the header of a reading, the description of a source.

Key expressions: `sage/v1/HOST/SOURCE` has the readings, the payload the values and the attachment the header;
`sage/v1/HOST/SOURCE/spec` answers with the description, `sage/v1/HOST/clock` with the sender's clock.
Invariant: all is msgpack, JPEG or raw bytes of a declared shape; a message that does not fit raises
DataError.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import msgpack
import numpy as np

from sage.errors import DataError, InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import MAX_SEQUENCE, SensorSpec

ROOT = "sage/v1"
Encoding = Literal["raw", "jpeg"]
#: Of a header or a description.
MAX_META_BYTES = 1 << 16
MAX_HEALTH = 500
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_name(name: str) -> str:
    """A host's or a source's name, as it stands in a key. InputError for others."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name: give letters, digits, '_', '.' and '-', 64 at most")
    return name


def key_of(host: str, *parts: str) -> str:
    """`sage/v1/HOST/PART/...`."""
    return "/".join((ROOT, check_name(host), *map(check_name, parts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Of one reading. started_ns: when its sender began, different in each of its runs.  captured_ns: on the
    sender's clock.  health: at most MAX_HEALTH characters of it.  The rest is as in Reading.
    """

    started_ns: int
    sequence: int
    captured_ns: int
    encoding: Encoding = "raw"
    noise_std: float = math.nan
    quality: float = 1.0
    confidence: float = 1.0
    health: str = ""

    def packed(self) -> bytes:
        fields = (
            self.started_ns,
            self.sequence,
            self.captured_ns,
            self.encoding,
            float(self.noise_std),
            float(self.quality),
            float(self.confidence),
            self.health[:MAX_HEALTH].encode("utf-8", "replace").decode(),
        )
        return bytes(msgpack.packb(fields))

    @classmethod
    def unpacked(cls, data: bytes) -> Header:
        """The inverse of `packed`. DataError for anything else."""
        fields = unpacked(data)
        kinds = (int, int, int, str, float, float, float, str)
        if (
            not isinstance(fields, list)
            or len(fields) != len(kinds)
            or not all(type(value) is kind for value, kind in zip(fields, kinds))
        ):
            raise DataError(f"header has {fields!r:.80}: expected 3 integers, a text, 3 numbers and a text")
        started_ns, sequence, captured_ns, encoding, noise_std, quality, confidence, health = fields
        if not all(-(1 << 63) <= time_ns < 1 << 63 for time_ns in (started_ns, captured_ns)):
            raise DataError(f"header has times {started_ns} and {captured_ns}: expected integers of 64 bits")
        if encoding not in ("raw", "jpeg"):
            raise DataError(f"encoding is {encoding!r:.40}: expected raw or jpeg")
        if not (0 <= sequence < MAX_SEQUENCE and 0 <= quality <= 1 and 0 <= confidence <= 1):
            raise DataError(f"header has sequence {sequence}, quality {quality}, confidence {confidence}")
        return cls(
            started_ns=started_ns,
            sequence=sequence,
            captured_ns=captured_ns,
            encoding=encoding,
            noise_std=noise_std,
            quality=quality,
            confidence=confidence,
            health=health,
        )


def describe(spec: SensorSpec, encoding: Encoding) -> bytes:
    """A source's description: what a remote sensor's configuration must agree with."""
    plain = {
        "shape": list(spec.tensor.shape),
        "dtype": spec.tensor.dtype,
        "period_ns": spec.period_ns,
        "modality": spec.modality,
        "observes": list(spec.observes),
        "channels": list(spec.channels),
        "lineage": list(spec.lineage),
        "encoding": encoding,
    }
    return bytes(msgpack.packb(plain))


def described(data: bytes, name: str) -> SensorSpec:
    """The spec of a source from its description, under that name. DataError for anything else."""
    plain = unpacked(data)
    try:
        quantity, unit = plain["observes"]
        return SensorSpec(
            name=name,
            modality=plain["modality"],
            tensor=TensorSpec(shape=tuple(int(size) for size in plain["shape"]), dtype=str(plain["dtype"])),
            period_ns=int(plain["period_ns"]),
            observes=(str(quantity), str(unit)),
            lineage=tuple(map(str, plain["lineage"])),
            channels=tuple(map(str, plain["channels"])),
        )
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise DataError(f"description of {name} cannot be read: {error!r:.120}") from None


def read_raw(payload: bytes, out: np.ndarray) -> None:
    """Copy raw values into `out`. DataError for another size, and for a byte that is no bool."""
    if len(payload) != out.nbytes:
        raise DataError(f"payload has {len(payload)} bytes: expected {out.nbytes}")
    if out.dtype == bool and payload.translate(None, b"\x00\x01"):
        raise DataError("payload has a byte that is no bool: expected 0 and 1")
    out[...] = np.frombuffer(payload, out.dtype).reshape(out.shape)


def unpacked(data: bytes) -> Any:
    """A message's plain value. DataError for one that is too long, or no msgpack."""
    if len(data) > MAX_META_BYTES:
        raise DataError(f"message has {len(data)} bytes: at most {MAX_META_BYTES} are accepted")
    try:
        return msgpack.unpackb(data, strict_map_key=True)
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise DataError(f"message is not msgpack: {error}") from None
