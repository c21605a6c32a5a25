"""`sage top`: the live view of a running session in a terminal of its own, through the control socket.

Invariant: the session is only looked at: leaving changes nothing in it, and the terminal is restored.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sage.app.control.client import ask
from sage.app.terminal.errors import UserError

REFRESH_SECS = 0.5
LEAVING = ("q", "Q", "\x03", "\x04")


def show(state_dir: Path, *, is_once: bool = False, console: Console | None = None) -> None:
    """Until q is pressed or the session ends; one screen where the output is no terminal, or with is_once.
    UserError where no session is running.
    """
    console = console or Console()
    if is_once or not (console.is_terminal and sys.stdin.isatty()):
        console.print(screen(state_dir, console), soft_wrap=True, highlight=False)
        return
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(screen(state_dir, console), refresh=True)
            if pressed(REFRESH_SECS) in LEAVING:
                return


def screen(state_dir: Path, console: Console) -> Text:
    """What the session shows, for the size of this console."""
    size = console.size
    result = ask(state_dir, "screen", width=size.width, height=size.height)
    lines = result.get("lines")
    if not isinstance(lines, list):
        raise UserError(f"{state_dir}: the reply has no screen: use the same SAGE on both sides")
    return Text("\n").join(Text.from_ansi(str(line)) for line in lines)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """A function that waits up to so many seconds for a key, "" without one; keys are not echoed."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(secs: float) -> str:
        ready, _, _ = select.select([descriptor], [], [], secs)
        return os.read(descriptor, 1).decode(errors="replace") if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
