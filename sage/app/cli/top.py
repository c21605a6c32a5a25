"""`sage top`: the live view of a running session."""

from __future__ import annotations

from typing import Annotated

import typer

from sage.app.cli.options import StateDirArgument


def top(
    state_dir: StateDirArgument = None,
    once: Annotated[bool, typer.Option("--once", help="Print one screen and exit.")] = False,
) -> None:
    """Show the live view of the running session; q leaves, and the session goes on."""
    from sage.app.config.state_dir import default_state_dir
    from sage.app.live.top import show

    show((state_dir or default_state_dir()).expanduser(), is_once=once)
