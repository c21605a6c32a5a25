"""Writing a page to its file."""

from __future__ import annotations

from pathlib import Path

from sage.app.terminal.errors import UserError


def write_html(html: str, path: Path) -> Path:
    """Write the page and return `path`; its folder is made. UserError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path}: cannot write the report ({error.strerror}): give another path with --out"
        ) from error
    return path
