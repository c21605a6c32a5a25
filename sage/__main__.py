"""`python -m sage`, the same as the command `sage`.

Invariant: `python -m` puts the current directory on sys.path; it is removed again in a checkout, whose
folders (`mailbox`, `memory`, ...) would otherwise shadow the standard library's modules.
"""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def _leave_checkout() -> None:
    if sys.path and Path(sys.path[0] or ".").resolve() == _ROOT:
        del sys.path[0]


if __name__ == "__main__":
    _leave_checkout()

    from sage.app.cli.main import main

    main()
