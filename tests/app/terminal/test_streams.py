"""A closed, full or hung-up stream, or one of another encoding, does not cost a command its work."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

SAGE = [sys.executable, "-m", "sage"]


def _prepared(code: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        f"import os, sys\nfrom sage.app.terminal.streams import prepare_streams\nprepare_streams()\n{code}",
    ]


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_a_closed_descriptor_is_taken_by_no_file(descriptor: int) -> None:
    code = (
        "print(sys.stdin.read(), end='')\nprint('x', file=sys.stderr)\nprint('y',"
        " end='')\nos._exit(os.open('/', 0))"
    )
    closed = subprocess.run(
        ["sh", "-c", f'exec "$@" {descriptor}>&-', "sh", *_prepared(f"sys.stdout.flush()\n{code}")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert closed.returncode > 2
    assert closed.stderr == (b"" if descriptor == 2 else b"x\n")


@pytest.mark.parametrize("closed", ["0>&-", "1>&-", "2>&-", "0>&- 1>&- 2>&-"])
def test_a_command_ends_well_with_a_closed_stream(closed: str) -> None:
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *SAGE, "config", "check"]
    assert subprocess.run(shell, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_characters_that_stdout_lacks_are_replaced(encoding: str) -> None:
    printed = subprocess.run(
        _prepared("print('caf\\u00e9 \\u2013 0.5')"),
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    assert printed.stdout == "café ? 0.5\n".encode(encoding, "replace")


def test_a_write_to_a_full_stderr_does_not_raise() -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            _prepared("print('lost', file=sys.stderr)\nprint('kept')"), stdout=-1, stderr=full, check=False
        )
    assert (ran.returncode, ran.stdout) == (0, b"kept\n")


def test_a_full_stdout_is_one_line_and_exit_code_2() -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run([*SAGE, "config", "show"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert ran.returncode == 2
    assert ran.stderr == b"sage: cannot write the output: no space left on device\n"


def test_writes_to_a_terminal_that_is_gone_do_not_raise() -> None:
    """The process reads from a pipe until the terminal is closed, then prints on both streams."""
    master, terminal = pty.openpty()
    code = (
        "print('!', flush=True)\nsys.stdin.read()\nprint('a' * 9999)\nprint('b',"
        " file=sys.stderr)\nsys.stdout.flush()\nos._exit(7)"
    )
    with subprocess.Popen(
        _prepared(code), stdin=subprocess.PIPE, stdout=terminal, stderr=terminal
    ) as command:
        os.close(terminal)
        assert os.read(master, 1) == b"!"
        os.close(master)
        command.communicate(timeout=60)
    assert command.returncode == 7


_LIBRARY = """
import ctypes, os, subprocess, sys
from sage.app.terminal.streams import printing_to_stderr
print("before")
with printing_to_stderr():
    print("python")
    os.write(1, b"descriptor\\n")
    ctypes.CDLL(None).puts(b"library")
    subprocess.run(["echo", "process"])
print("after")
"""


def test_what_libraries_and_processes_of_a_plug_in_print_is_not_in_the_output() -> None:
    done = subprocess.run([sys.executable, "-c", _LIBRARY], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["before", "after"]
    assert sorted(done.stderr.split()) == ["descriptor", "library", "process", "python"]
