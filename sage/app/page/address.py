"""Where the page is served, by default and by the options of `sage run` and `sage daemon unit`."""

from __future__ import annotations

from collections.abc import Sequence

from sage.app.terminal.errors import need_option

HOST, PORT = "127.0.0.1", 8642


def check_without(port: int, host: str, allowed_hosts: Sequence[str]) -> None:
    """UserError for an option of the page, where there is none. A default may have been given."""
    given = {
        f"--port {port}": port != PORT,
        f"--host {host}": host != HOST,
        **{f"--allow-host {each}": True for each in allowed_hosts},
    }
    need_option("--page", given)
