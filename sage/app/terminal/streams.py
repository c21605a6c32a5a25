"""Standard streams, prepared once for all commands.

Invariant: file descriptors 0, 1 and 2 are open, so that no file of ours takes their place and receives what a
library prints; a character that stdout's encoding lacks is replaced and never raises; a write to stderr, or
to a terminal that is gone, never raises. A write to a stdout that is a file or a pipe raises OSError.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class LenientFile(io.FileIO):
    """A file whose failed writes are dropped: a full disk or a closed terminal behind stderr ends nothing."""

    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def prepare_streams() -> None:
    """Call once, before anything is printed or opened."""
    for descriptor in range(3):
        _open_descriptor(descriptor)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115  the stream of the process
    sys.stdout = _stdout(sys.stdout)
    sys.stderr = _lenient(2, sys.stderr)


def flush_stdout() -> None:
    """OSError where the last of the output cannot be written: the interpreter's own flush would only warn."""
    sys.stdout.flush()


def drop_output() -> None:
    """Point stdout at the null device, so that the interpreter's flush at exit has nothing to report."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@contextmanager
def printing_to_stderr(*, is_on: bool = True) -> Iterator[None]:
    """What a plug-in prints inside goes to stderr, also what its libraries and the processes that it starts
    write to file descriptor 1: stdout has only the command's own output.
    """
    if not is_on:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _flush_libraries()
        os.dup2(kept, 1)
        os.close(kept)


def _flush_libraries() -> None:
    """C's buffers: what a library has printed there would be written at the end of the process."""
    import ctypes

    with suppress(OSError, TypeError, AttributeError):  # a system without a C library of its own
        ctypes.CDLL(None).fflush(None)


def _open_descriptor(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != descriptor:
            os.dup2(null, descriptor, inheritable=True)
            os.close(null)


def _stdout(stream: TextIO | None) -> TextIO:
    if stream is None or stream.isatty():
        return _lenient(1, stream)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return stream


def _lenient(descriptor: int, stream: TextIO | None) -> TextIO:
    """A line-buffered text stream over the descriptor, in the given stream's encoding."""
    if stream is not None:
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(LenientFile(descriptor, "w", closefd=False)),
        encoding="utf-8" if stream is None else stream.encoding,
        errors="replace" if descriptor == 1 else "backslashreplace",
        line_buffering=True,
    )
