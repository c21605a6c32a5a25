"""Writing a page to its file."""

from __future__ import annotations

from pathlib import Path

from sage.app.terminal.errors import UserError
from sage.durable import write_file


def write_html(html: str, path: Path) -> Path:
    """Write the page, whole or not at all, and return `path`; its folder is made. UserError where it cannot
    be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, html.encode())
    except OSError as error:
        raise UserError(
            f"{path}: cannot write the report ({error.strerror}): give another path with --out"
        ) from error
    return path
