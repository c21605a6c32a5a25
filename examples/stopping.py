"""How the examples end when they are stopped: SIGTERM and Ctrl-C give one line on stderr and
exit code 143.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from sage.errors import SageError

STOPPED = 128 + signal.SIGTERM
WRONG_INPUT = 2


class Stopped(BaseException):
    """The user asked the example to end. A BaseException, so that no `except Exception` catches it."""


def run_example(main: Callable[[], int | None]) -> None:
    """Call `main` and exit with its result, with 2 for an error of SAGE or a file, with 143 when stopped."""
    name = Path(sys.argv[0]).stem
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _raise_stopped)
    try:
        code = main() or 0
    except Stopped as stopped:
        print(f"{name}: {stopped}", file=sys.stderr)
        code = STOPPED
    except SageError as error:
        print(f"{name}: {error}", file=sys.stderr)
        code = WRONG_INPUT
    except OSError as error:
        print(f"{name}: {error.filename}: {error.strerror}", file=sys.stderr)
        code = WRONG_INPUT
    sys.exit(code)


def _raise_stopped(number: int, _frame: FrameType | None) -> None:
    raise Stopped(f"stopped by {signal.Signals(number).name}")
