"""Errors at the command line: one line with the remedy, exit code 2, never a traceback."""

from __future__ import annotations

from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

from sage.errors import SageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class UserError(SageError):
    """A command line is wrong. The message is one line: what failed, the value, the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def nearest(given: str, known: Iterable[str], *, prefix: str = "") -> str:
    """The remedy for an unknown name: the nearest known name, with `prefix` before it, or a list of all
    names.
    """
    names = sorted(known)
    close = get_close_matches(given, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {prefix}{close[0]}?"
    return f"give one of {', '.join(names)}" if names else "there are none"


def need_option(needed: str, given: Mapping[str, bool]) -> None:
    """UserError for the first option that is given, where `needed`, without which it has no effect, is not.

    given: option, as written -> whether it is given.
    """
    for option, is_given in given.items():
        if is_given:
            raise UserError(f"{option}: needs {needed}: add it, or leave this out")


def describe_os_error(error: OSError) -> str:
    """`PATH: no such file or directory`, in one line; without a path the output is what failed."""
    reason = " ".join((error.strerror or str(error) or type(error).__name__).split())
    where = "cannot write the output" if error.filename is None else str(error.filename)
    return f"{where}: {reason[:1].lower()}{reason[1:]}"


def is_out_of_memory(error: BaseException) -> bool:
    """Did Python, NumPy or torch fail to allocate memory? torch raises a RuntimeError."""
    reasons = "can't allocate memory", "out of memory", "Storage size calculation overflowed"
    return isinstance(error, MemoryError) or any(reason in str(error) for reason in reasons)


@contextmanager
def user_errors(what: str) -> Iterator[None]:
    """Raise errors of ours, missing packages and missing devices as one UserError that starts with `what`."""
    try:
        yield
    except UserError:
        raise
    except (SageError, ImportError) as error:
        if isinstance(error, ImportError) and error.name == "torch":
            raise  # `invoke` states how to install it
        raise UserError(f"{what}: {error}") from error
    except OSError as error:
        raise UserError(f"{what}: {describe_os_error(error)}") from error
    except (RuntimeError, AssertionError) as error:
        if is_out_of_memory(error):
            raise
        if "CUDA" in str(error) or "device" in str(error):
            raise UserError(f"{what}: {str(error).splitlines()[0]}: give --device cpu") from error
        raise
