"""The limits of every setting that is a time or a rate, so that its nanoseconds fit 64 bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationInfo, field_validator

from sage.errors import InputError

#: About 31 years.
MAX_SECS = 1e9
MIN_RATE_HZ = 1e-9


class TimeLimited(BaseModel):
    """Base of settings: a number of a key `..._secs` is at most MAX_SECS, one of a key `..._hz` at least
    MIN_RATE_HZ.
    """

    @field_validator("*", mode="after")
    @classmethod
    def _fits_nanoseconds(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        if name.endswith("_secs"):
            for number in _numbers(value):
                if abs(number) > MAX_SECS:
                    raise InputError(f"{number:g} s is too long: give at most {MAX_SECS:g}")
        elif name.endswith("_hz"):
            for number in _numbers(value):
                if 0 < number < MIN_RATE_HZ:
                    raise InputError(f"{number:g} Hz is too slow: give at least {MIN_RATE_HZ:g}")
        return value


def _numbers(value: Any) -> Iterator[float]:
    """The number, or those of a list or a mapping."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
    return (item for item in items if isinstance(item, (int, float)))
