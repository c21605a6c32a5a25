"""A named segment of memory that several processes of one user map.

Invariant: a name in /dev/shm never refers to an incomplete segment, and a process attaches only to its own
version of the layout. The first 4,096 bytes are the header; the rest belongs to the mailbox.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sage.errors import InputError
from sage.mailbox.errors import MailboxError
from sage.mailbox.shared.memory.identity import my_identity, pid_namespace

FOLDER = Path("/dev/shm")
PREFIX = "sage."
HEADER_BYTES = 4096
MAX_OPTIONS = 24
#: Incremented with every change of the layout of the header or of a mailbox.
LAYOUT_VERSION = 4
#: Attach to any kind of mailbox, to read its header.
ANY_KIND = -1
_MAGIC = int.from_bytes(b"SAGEmail", "little")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

# Words of the header (int64 each).
MAGIC, VERSION, KIND, NUM_BYTES, CREATOR, NAMESPACE, CREATED_NS, IS_CLOSED, OPTIONS = range(9)
#: Header words from here on belong to the mailbox.
FREE_WORDS = 64

_AT_FDCWD, _AT_SYMLINK_FOLLOW = -100, 0x400
_linkat = ctypes.CDLL(None, use_errno=True).linkat


class NameTaken(MailboxError):
    """A segment of this name exists."""


class NoSuchMailbox(MailboxError):
    """No segment of this name exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """kind: a number for each class of mailbox.  options: at most MAX_OPTIONS numbers by name, in an order
    that is part of the layout.  num_bytes: of the whole segment.
    """

    kind: int
    num_bytes: int
    options: Mapping[str, int]


class Segment:
    """The mapping. `words` is an int64 view of all of it; `address` is its address in this process."""

    def __init__(self, name: str, fd: int, *, is_creator: bool, is_read_only: bool = False) -> None:
        self.name = name
        self.path = path_of(name)
        self.is_creator = is_creator
        self.fd = fd
        self.is_read_only = is_read_only
        access = mmap.PROT_READ if is_read_only else mmap.PROT_READ | mmap.PROT_WRITE
        self.memory = mmap.mmap(fd, os.fstat(fd).st_size, mmap.MAP_SHARED, access)
        self.words = memoryview(self.memory).cast("q")
        self.address = _address_of(self.memory, is_read_only)
        self._end = weakref.finalize(
            self, os.close, fd
        )  # last: if a line above raises, the caller closes the file

    @classmethod
    def create(
        cls,
        name: str,
        layout: Layout,
        *,
        reserved_bytes: int | None = None,
        prepare: Callable[[Segment], None] | None = None,
    ) -> Segment:
        """A new segment with mode 0600, zero after its header. Raises MailboxError if the name is taken or
        memory is short.

        reserved_bytes: of memory allocated now (default: all); `reserve` allocates the rest when needed.
        prepare: initialises the mailbox's words before other processes can attach.
        """
        path = path_of(name)
        fd = _open_unnamed()
        try:
            _set_size(fd, name, layout.num_bytes)
            _reserve(fd, name, 0, layout.num_bytes if reserved_bytes is None else reserved_bytes)
            segment = cls(name, fd, is_creator=True)
        except BaseException:
            os.close(fd)
            raise
        _write_header(segment.words, layout)
        if prepare is not None:
            prepare(segment)
        # named last, so that no process finds an incomplete header
        if _linkat(_AT_FDCWD, b"/proc/self/fd/%d" % fd, _AT_FDCWD, os.fsencode(path), _AT_SYMLINK_FOLLOW):
            code = ctypes.get_errno()
            if code == errno.EEXIST:
                raise NameTaken(f"{name}: a mailbox of this name exists ({path}): {_way_out(path)}")
            raise MailboxError(f"{name}: cannot create {path}: {os.strerror(code)}")
        return segment

    @classmethod
    def attach(
        cls, name: str, *, kind: int, options: Mapping[str, int] | None = None, is_read_only: bool = False
    ) -> Segment:
        """Map an existing segment. Raises MailboxError if it does not exist, belongs to another user, or has
        another layout.

        options: the values that the creator must have chosen.
        """
        fd = _open_existing(name, is_read_only)
        try:
            _check_file(name, fd)
            segment = cls(name, fd, is_creator=False, is_read_only=is_read_only)
        except BaseException:
            os.close(fd)
            raise
        _check_header(segment, kind, options or {})
        return segment

    def options(self, names: tuple[str, ...]) -> dict[str, int]:
        """The creator's options; names in the order of the layout."""
        return {name: self.words[OPTIONS + index] for index, name in enumerate(names)}

    def reserve(self, start: int, num_bytes: int) -> None:
        """Allocate memory for a part, so that writes there cannot fail. Raises MailboxError if none is
        left.
        """
        _reserve(self.fd, self.name, start, num_bytes)

    @property
    def is_linked(self) -> bool:
        """Whether the name still refers to this segment."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def unlink(self) -> None:
        """Remove the name; the memory is freed with the last mapping. Another segment of that name is
        kept.
        """
        if self.is_linked:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file. The mapping stays while an array on it exists."""
        self._end()


def path_of(name: str) -> Path:
    """The file of a mailbox. Raises InputError for an invalid name."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"name is {name!r}: give letters, digits, '.', '_' and '-', at most 100, starting with a letter"
            " or digit"
        )
    return FOLDER / f"{PREFIX}{name}"


def _way_out(path: Path) -> str:
    try:
        is_mine = path.stat().st_uid == os.geteuid()
    except OSError:  # removed in the meantime
        is_mine = True
    return (
        "attach to it, or unlink it first" if is_mine else "it belongs to another user: choose another name"
    )


def _open_unnamed() -> int:
    if not hasattr(os, "O_TMPFILE") or not FOLDER.is_dir():
        raise MailboxError(
            f"mailboxes between processes need Linux and {FOLDER}: use them inside one process here"
        )
    try:
        return os.open(FOLDER, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MailboxError(
            f"{FOLDER} does not accept new files ({error.strerror}): mount a tmpfs that this user can"
            " write to, or use mailboxes inside one process"
        ) from None


def _open_existing(name: str, is_read_only: bool) -> int:
    flags = (os.O_RDONLY if is_read_only else os.O_RDWR) | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path_of(name), flags)
    except FileNotFoundError:
        raise NoSuchMailbox(
            f"{name}: no such mailbox: create it first, or look at `sage mailbox ls`"
        ) from None
    except PermissionError:
        raise MailboxError(f"{name}: this mailbox belongs to another user: choose another name") from None
    except OSError as error:
        raise MailboxError(f"{name}: cannot open {path_of(name)}: {error.strerror}") from None


def _check_file(name: str, fd: int) -> None:
    status = os.fstat(fd)
    if status.st_uid != os.geteuid():
        raise MailboxError(f"{name}: this mailbox belongs to another user: choose another name")
    if status.st_size < HEADER_BYTES:
        raise MailboxError(
            f"{name}: {path_of(name)} is not a mailbox ({status.st_size} bytes): remove it, or choose another"
            " name"
        )


def _write_header(words: memoryview, layout: Layout) -> None:
    assert len(layout.options) <= MAX_OPTIONS
    words[MAGIC], words[VERSION], words[KIND], words[NUM_BYTES] = (
        _MAGIC,
        LAYOUT_VERSION,
        layout.kind,
        layout.num_bytes,
    )
    words[CREATOR], words[NAMESPACE] = my_identity(), pid_namespace()
    for index, value in enumerate(layout.options.values()):
        words[OPTIONS + index] = value


def _check_header(segment: Segment, kind: int, options: Mapping[str, int]) -> None:
    name, words = segment.name, segment.words
    if words[MAGIC] != _MAGIC or words[NUM_BYTES] != len(segment.memory):
        raise MailboxError(f"{name}: {segment.path} is not a mailbox: remove it, or choose another name")
    if words[VERSION] != LAYOUT_VERSION:
        raise MailboxError(
            f"{name}: created with layout {words[VERSION]}, this is layout {LAYOUT_VERSION}: "
            "run one version of sage on both sides, or unlink it"
        )
    if kind != ANY_KIND and words[KIND] != kind:
        raise MailboxError(f"{name}: is a mailbox of another kind: choose another name")
    if words[NAMESPACE] != pid_namespace():
        raise MailboxError(
            f"{name}: created in another container: share the pid namespace as well as {FOLDER}"
        )
    for index, (option, requested) in enumerate(options.items()):
        if requested >= 0 and words[OPTIONS + index] != requested:
            raise MailboxError(
                f"{name}: exists with {option} {words[OPTIONS + index]}, requested {requested}: use the same"
                " value, or another name"
            )


def _set_size(fd: int, name: str, num_bytes: int) -> None:
    try:
        os.ftruncate(fd, num_bytes)
    except OSError as error:
        raise _no_memory(error, name, num_bytes) from None


def _reserve(fd: int, name: str, start: int, num_bytes: int) -> None:
    # otherwise a write raises SIGBUS when /dev/shm is full
    try:
        os.posix_fallocate(fd, start, num_bytes)
    except OSError as error:
        raise _no_memory(error, name, start + num_bytes) from None


def _no_memory(error: OSError, name: str, num_bytes: int) -> MailboxError:
    wanted = f"{name}: needs {num_bytes / 2**20:.1f} MiB in {FOLDER}"
    if error.errno == errno.EFBIG:
        return MailboxError(
            f"{wanted}, above this process's file size limit: raise it (ulimit -f), or request less"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        status = os.statvfs(FOLDER)
        free_mib = status.f_bavail * status.f_frsize / 2**20
        return MailboxError(
            f"{wanted}, {free_mib:.1f} MiB are free: use fewer or smaller slots, or run `sage mailbox clean`"
        )
    return MailboxError(f"{wanted}: {error.strerror}")


def _address_of(memory: mmap.mmap, is_read_only: bool) -> int:
    if is_read_only:  # ctypes needs a writable buffer; numpy does not
        import numpy as np

        return int(np.frombuffer(memory, dtype="uint8").ctypes.data)
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
