"""The verb `screen` of the control socket: the live view of a session, drawn for a terminal elsewhere.

Invariant: a reply fits into one line of the socket, whatever the size that is asked for.
"""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console, ConsoleDimensions

from sage.app.control.messages import MAX_LINE_BYTES
from sage.app.control.server import Verb
from sage.app.live.screen import draw
from sage.app.page.feed import SessionFeed
from sage.errors import InputError

MIN_WIDTH, MAX_WIDTH, MIN_HEIGHT, MAX_HEIGHT = 20, 240, 5, 100


def screen_verb(feed: SessionFeed) -> Verb:
    """Takes width and height in cells; returns the lines, with colours as ANSI sequences."""

    def verb(request: dict[str, Any]) -> dict[str, Any]:
        width = _size(request, "width", MIN_WIDTH, MAX_WIDTH)
        height = _size(request, "height", MIN_HEIGHT, MAX_HEIGHT)
        while feed.take_in():
            pass
        with feed.lock:
            text = draw(feed.refresh(), ConsoleDimensions(width, height))
        console = Console(
            file=io.StringIO(),
            width=width,
            force_terminal=True,
            color_system="standard",
            legacy_windows=False,
        )
        with console.capture() as captured:
            console.print(text, soft_wrap=True, highlight=False, markup=False)
        return {"lines": _fitting(captured.get().rstrip("\n").split("\n"))}

    return verb


def _fitting(lines: list[str]) -> list[str]:
    """The first lines, as many as a reply has room for; a character takes up to six bytes of JSON."""
    room, shown = MAX_LINE_BYTES - 256, []
    for line in lines:
        room -= sum(1 if " " <= character <= "~" else 6 for character in line) + 8
        if room < 0:
            break
        shown.append(line)
    return shown


def _size(request: dict[str, Any], name: str, low: int, high: int) -> int:
    value = request.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{name} is {str(value)[:40]!r}: give a whole number of cells")
    return min(high, max(low, value))
