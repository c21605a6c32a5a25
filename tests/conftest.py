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
# A background job of a shell ignores Ctrl-C, one under nohup ignores a hang-up, and so do their children.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder that SAGE_DATA names; where it is empty or not set, shared/data beside the checkout."""
    return Path(os.environ.get("SAGE_DATA") or ROOT.parent / "shared" / "data").resolve()


@pytest.fixture(scope="session")
def recordings(data_folder: Path) -> Path:
    """The folder of recorded data; the test is skipped where there is none."""
    if not (data_folder / "sensors").is_dir():
        pytest.skip(f"no recorded data in {data_folder}: set SAGE_DATA")
    return data_folder
