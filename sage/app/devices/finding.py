"""One line of `sage doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line. is_good: False where a run will fail.  why: the reason, or the remedy."""

    topic: str
    found: str
    why: str = ""
    is_good: bool = True
