"""Whose fault it was, at the command line.

UserError is what a person gave wrong: one line with the remedy, exit 2, never a traceback. Anything else is
ours: exit 1.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from sage.errors import SageError

if TYPE_CHECKING:
    from collections.abc import Iterable


class UserError(SageError):
    """What was given is wrong. The message is one line: what, where, remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def nearest(given: str, known: Iterable[str], *, prefix: str = "") -> str:
    """The remedy for a misspelt name: the nearest known one (behind `prefix`), or all of them where none is
    near.
    """
    names = sorted(known)
    close = get_close_matches(given, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {prefix}{close[0]}?"
    return f"give one of {', '.join(names)}" if names else "there is none"
