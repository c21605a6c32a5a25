"""Opening the page in the user's browser, with the token.

Invariant: the token is in no command line, which other users of this machine could read.
"""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path
from urllib.parse import quote

from sage.app.report.markup import text

OPENING_NAME = "open.html"


def open_page(folder: Path, address: str, token: str, *, name: str = OPENING_NAME) -> bool:
    """Write a file that leads to the page, mode 0600, and open it. False where no browser was found. OSError
    where it cannot be written.
    """
    path = folder / name
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    link = text(f"{address}#token={quote(token, safe='')}")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(
            '<!doctype html><meta charset="utf-8"><title>SAGE</title>'
            '<meta name="referrer" content="no-referrer">'
            f'<meta http-equiv="refresh" content="0; url={link}"><a href="{link}">The page of SAGE</a>'
        )
    return webbrowser.open(path.absolute().as_uri())
