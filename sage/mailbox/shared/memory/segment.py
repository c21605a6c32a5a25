"""A named piece of memory that several processes of one user map: created whole or not at all, checked when
attached.

Invariant: a name in /dev/shm never stands for a half-made segment, and whoever attaches has the layout its
creator had. The first 4,096 bytes are the header; the rest belongs to the mailbox.
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
#: Raised with any change of what stands where, in the header or behind it.
LAYOUT_VERSION = 2
#: To look at a header, whatever mailbox it is.
ANY_KIND = -1
_MAGIC = int.from_bytes(b"SAGEmail", "little")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

# Words of the header (int64 each).
MAGIC, VERSION, KIND, NUM_BYTES, CREATOR, NAMESPACE, CREATED_NS, IS_CLOSED, OPTIONS = range(9)
#: Header words from here on are the mailbox's own.
FREE_WORDS = 64

_AT_FDCWD, _AT_SYMLINK_FOLLOW = -100, 0x400
_linkat = ctypes.CDLL(None, use_errno=True).linkat


class NameTaken(MailboxError):
    """A segment of this name exists."""


class NoSuchMailbox(MailboxError):
    """No segment of this name exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """kind: a small number for each class of mailbox.  options: at most MAX_OPTIONS numbers by name, in an
    order that is part of the layout.  num_bytes: of the whole segment."""

    kind: int
    num_bytes: int
    options: Mapping[str, int]


class Segment:
    """The mapping. `words` is an int64 view of everything; `address` is where it lies in this process."""

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
        self._end = weakref.finalize(self, os.close, fd)  # last: until here the file is the caller's to close

    @classmethod
    def create(
        cls,
        name: str,
        layout: Layout,
        *,
        reserved_bytes: int | None = None,
        prepare: Callable[[Segment], None] | None = None,
    ) -> Segment:
        """A new segment of mode 0600, zeroed behind its header. MailboxError when the name is taken or space
        is short.

        reserved_bytes: how much of it gets memory at once (all by default); `reserve` gets the rest when it
        is needed.
        prepare: fills in the mailbox's own words, before anybody can attach.
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
        # only now does it get a name: nobody can meet a header that is not finished
        if _linkat(_AT_FDCWD, b"/proc/self/fd/%d" % fd, _AT_FDCWD, os.fsencode(path), _AT_SYMLINK_FOLLOW):
            code = ctypes.get_errno()
            if code == errno.EEXIST:
                raise NameTaken(f"{name}: a mailbox of this name exists ({path}): {_way_out(path)}")
            raise MailboxError(f"{name}: cannot make {path}: {os.strerror(code)}")
        return segment

    @classmethod
    def attach(
        cls, name: str, *, kind: int, options: Mapping[str, int] | None = None, is_read_only: bool = False
    ) -> Segment:
        """Map an existing segment. MailboxError when there is none, it is another user's, or its layout is
        another.

        options: those the caller relies on; each must be what the creator chose.
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
        """What the creator chose, by the names of the layout in their order."""
        return {name: self.words[OPTIONS + index] for index, name in enumerate(names)}

    def reserve(self, start: int, num_bytes: int) -> None:
        """Get memory for a part: afterwards writing there cannot fail. MailboxError when there is none
        left.
        """
        _reserve(self.fd, self.name, start, num_bytes)

    @property
    def is_linked(self) -> bool:
        """Whether the name still stands for this very segment."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def unlink(self) -> None:
        """Take the name away; the memory goes with the last mapping. Another segment of that name is left
        alone.
        """
        if self.is_linked:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file. The mapping stays for as long as an array on it lives."""
        self._end()


def path_of(name: str) -> Path:
    """InputError for a name that cannot be a file's."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"name is {name!r}: give letters, digits, '.', '_' and '-', at most 100, the first no sign"
        )
    return FOLDER / f"{PREFIX}{name}"


def _way_out(path: Path) -> str:
    try:
        is_mine = path.stat().st_uid == os.geteuid()
    except OSError:  # it has just gone
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
            f"{FOLDER} takes no new files ({error.strerror}): mount a tmpfs there that this user may write"
            " to, or use mailboxes inside one process"
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
            f"{name}: {path_of(name)} is no mailbox ({status.st_size} bytes): remove it, or choose another"
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
        raise MailboxError(f"{name}: {segment.path} is no mailbox: remove it, or choose another name")
    if words[VERSION] != LAYOUT_VERSION:
        raise MailboxError(
            f"{name}: made with layout {words[VERSION]}, this is layout {LAYOUT_VERSION}: "
            "run one version of sage on both sides, or unlink it"
        )
    if kind != ANY_KIND and words[KIND] != kind:
        raise MailboxError(f"{name}: is a mailbox of another kind: choose another name")
    if words[NAMESPACE] != pid_namespace():
        raise MailboxError(f"{name}: made in another container: share the pid namespace as well as {FOLDER}")
    for index, (option, asked) in enumerate(options.items()):
        if asked >= 0 and words[OPTIONS + index] != asked:
            raise MailboxError(
                f"{name}: exists with {option} {words[OPTIONS + index]}, asked for {asked}: agree, or rename"
            )


def _set_size(fd: int, name: str, num_bytes: int) -> None:
    try:
        os.ftruncate(fd, num_bytes)
    except OSError as error:
        raise _no_memory(error, name, num_bytes) from None


def _reserve(fd: int, name: str, start: int, num_bytes: int) -> None:
    # without this a full /dev/shm shows as SIGBUS in the middle of a write
    try:
        os.posix_fallocate(fd, start, num_bytes)
    except OSError as error:
        raise _no_memory(error, name, start + num_bytes) from None


def _no_memory(error: OSError, name: str, num_bytes: int) -> MailboxError:
    wanted = f"{name}: needs {num_bytes / 2**20:.1f} MiB in {FOLDER}"
    if error.errno == errno.EFBIG:
        return MailboxError(
            f"{wanted}, over this process's limit on the size of files: raise it (ulimit -f), or take less"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        status = os.statvfs(FOLDER)
        free_mib = status.f_bavail * status.f_frsize / 2**20
        return MailboxError(
            f"{wanted}, {free_mib:.1f} MiB are free: take fewer or smaller slots, or `sage mailbox clean`"
        )
    return MailboxError(f"{wanted}: {error.strerror}")


def _address_of(memory: mmap.mmap, is_read_only: bool) -> int:
    if is_read_only:  # ctypes asks for a writable buffer; numpy does not
        import numpy as np

        return int(np.frombuffer(memory, dtype="uint8").ctypes.data)
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
