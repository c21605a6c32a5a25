"""What starts quickly stays light: `import sage` and `sage --help` load nothing heavy. (`sage bench startup`
takes the time.)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "numpy", "pyarrow", "numba", "av", "yaml", "rich.console", "huggingface_hub", "structlog"}
HELP = (
    "run --help",
    "config --help",
    "sensors --help",
    "store --help",
    "bench --help",
    "sensors record --help",
)


def _loaded_after(code: str) -> set[str]:
    """Modules loaded when `code` has run in a fresh interpreter far from the checkout."""
    report = (
        "import sys, json, atexit; atexit.register(lambda:"
        " sys.stderr.write(json.dumps(sorted(sys.modules))))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", report + code], capture_output=True, text=True, check=True, cwd="/"
    )
    return set(json.loads(ran.stderr))


def test_importing_sage_loads_nothing_else_of_it() -> None:
    assert {name for name in _loaded_after("import sage") if name.startswith("sage")} == {
        "sage",
        "sage.about",
        "sage.lazy",
    }


@pytest.mark.parametrize("arguments", ["--help", "--version"])
def test_the_first_help_loads_not_even_pydantic(arguments: str) -> None:
    """Typer itself loads pydantic for a command that has parameters; the list of commands does without."""
    loaded = _loaded_after(f"from sage.app.cli.main import invoke; sys.exit(invoke({arguments.split()!r}))")
    assert not loaded & {*HEAVY, "pydantic"}


@pytest.mark.parametrize("arguments", HELP)
def test_help_of_a_command_loads_nothing_heavy(arguments: str) -> None:
    loaded = _loaded_after(f"from sage.app.cli.main import invoke; sys.exit(invoke({arguments.split()!r}))")
    assert not loaded & HEAVY


def test_threads_are_set_before_torch_is_loaded() -> None:
    code = (
        "from sage.app.cli.main import set_threads; assert 'torch' not in sys.modules; set_threads();"
        "import os; sys.exit(os.environ['OMP_WAIT_POLICY'] != 'PASSIVE' or not os.environ['OMP_NUM_THREADS'])"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
    assert (
        subprocess.run([sys.executable, "-c", f"import sys; {code}"], env=environment, check=False).returncode
        == 0
    )


def test_threads_that_a_person_set_stay() -> None:
    code = (
        "import os; from sage.app.cli.main import set_threads; set_threads();"
        " print(os.environ['OMP_NUM_THREADS'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "3"


@pytest.mark.parametrize("cwd", ["checkout", "elsewhere"])
@pytest.mark.parametrize("how", ["command", "module"])
def test_the_command_sees_the_standard_librarys_mailbox(
    how: str, cwd: str, repository: Path, tmp_path: Path
) -> None:
    """A plug-in's import would meet the signposts if the checkout's root were on the path of a running
    command.
    """
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, importlib, sys\natexit.register(lambda:"
        " sys.stderr.write(importlib.import_module('mailbox').__file__ + ' ' + repr(sys.path)))\n"
    )
    command = (
        [str(Path(sys.executable).with_name("sage"))] if how == "command" else [sys.executable, "-m", "sage"]
    )
    ran = subprocess.run(
        [*command, "--version"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=repository if cwd == "checkout" else tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith("sage ")
    assert str(repository / "sage") not in ran.stderr.split()[0]
    assert f"'{repository}'" not in ran.stderr
