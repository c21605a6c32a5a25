"""`python -m sage`, the same as the command `sage`.

Invariant: Python put the current directory on the path to find this module; it is taken off again, because in
a checkout it holds signposts (`mailbox`, `memory`, ...) that would stand before the standard library's own.
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
