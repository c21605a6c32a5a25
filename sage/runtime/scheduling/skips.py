"""Why a source gets no full attention in a tick: small codes in arrays, words in reports."""

from __future__ import annotations

from collections.abc import Sequence

ATTENDED, NOT_DUE, BUDGET, CAP, HELD = range(5)
#: By code. "" for an attended source.
WORDS = ("", "not due", "budget", "cap", "held by posture")


def skip_words(codes: Sequence[int], statuses: Sequence[str]) -> tuple[str, ...]:
    """The reason of each source: its status where it is not running, else the word of its code."""
    return tuple(
        WORDS[code] if status == "running" or code != NOT_DUE else status
        for code, status in zip(codes, statuses)
    )
