"""What every test stands on: the checkout's root is not on the path, recorded data is found or the test is
skipped.

Invariant: `import mailbox` is the standard library's here, however pytest was started.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
# A shell that starts something in the background has it ignore Ctrl-C, and with it all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded data, by SAGE_DATA; the test is skipped where there is none."""
    folder = Path(os.environ.get("SAGE_DATA") or ROOT.parent / "shared" / "data").resolve()
    if not (folder / "sensors").is_dir():
        pytest.skip(f"no recorded data in {folder}: set SAGE_DATA")
    return folder
