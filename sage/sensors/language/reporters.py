"""Functions that put a figure into words by fixed rules, to try the kind `language` without a model.

The figure is the first number of the prompt, in percent. None of them is a language model.
"""

from __future__ import annotations

import re
from typing import Literal

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
#: Least figure in percent, and two wordings.
_LEVELS = (
    (75.0, "Heavy work keeps every processor busy.", "Every processor is busy with heavy work now."),
    (35.0, "Some work is done, and capacity is left.", "There is some work, with capacity left."),
    (0.0, "The computer is idle, nothing happens.", "Nothing happens, the computer is nearly idle."),
)
_UNKNOWN = "The figure is not available yet."


def first(prompt: str) -> str:
    """One wording of the level."""
    return _worded(prompt, 1)


def second(prompt: str) -> str:
    """The other wording of the same level."""
    return _worded(prompt, 2)


def contrary(prompt: str) -> str:
    """The level of 100 minus the figure: wrong, except in the middle."""
    found = _NUMBER.search(prompt)
    return _worded("" if found is None else f"{100 - float(found[0])}", 1)


def is_right(text: str, prompt: str) -> bool | None:
    """A checker: whether the text is a wording of the prompt's level; None without a figure."""
    if _NUMBER.search(prompt) is None:
        return None
    return text in (first(prompt), second(prompt))


def _worded(prompt: str, wording: Literal[1, 2]) -> str:
    found = _NUMBER.search(prompt)
    if found is None:
        return _UNKNOWN
    figure = max(float(found[0]), 0.0)
    return next(level[wording] for level in _LEVELS if figure >= level[0])
