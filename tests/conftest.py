"""What every test stands on: the checkout's root is not on the path, recorded data is found or the test is
skipped.

Invariant: `import mailbox` is the standard library's here, however pytest was started. With `--torch-free`
nothing in this process loads torch, installed or not; tests that start programs which load it have the mark
`torch`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
# A background job of a shell ignores Ctrl-C, one under nohup ignores a hang-up, and so do their children.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# No test asserts a time: the first call of a compiled function takes seconds.
hypothesis.settings.register_profile("sage", deadline=None)
hypothesis.settings.load_profile("sage")


class NoTorch:
    """The first finder of modules under `--torch-free`: an import of torch skips the test, file or folder."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] == "torch":
            pytest.skip("needs torch", allow_module_level=True)
        return None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torch-free", action="store_true", help="only tests that load no torch")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--torch-free"):
        sys.meta_path.insert(0, NoTorch())


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.getoption("--torch-free") and item.get_closest_marker("torch"):
        pytest.skip("needs torch")


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
