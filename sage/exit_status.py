"""How a child process ended, in words."""

from __future__ import annotations

import signal


def how_it_ended(code: int) -> str:
    """To follow the name of the process. code: as `subprocess` returns it, below 0 after a signal."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # most of the real-time signals have no name
        name = f"signal {-code}"
    return f"was ended by {name}"
