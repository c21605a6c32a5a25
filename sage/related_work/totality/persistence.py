"""A store in a folder: snapshots and a journal of the changes after them.

Invariant: a change that was acknowledged is on the disk; after kill -9 opening the folder gives it back. A
damaged file is renamed to NAME.damaged and reported; the older snapshot and the journal still give the
whole state. One process at a time has the folder.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, ValidationError

from sage.durable import NewerVersion, digest_of, keep_newest, set_aside, write_file
from sage.errors import InputError
from sage.memory.stores.journal import Journal
from sage.memory.stores.journal_file import JournalContents, read_journal
from sage.memory.stores.journal_row import JournalRow
from sage.related_work.totality.change import Change
from sage.related_work.totality.content import Content
from sage.related_work.totality.errors import NotDurable, UnknownId
from sage.related_work.totality.messages import PersistReply, Snapshot
from sage.related_work.totality.operation import OperationRegistry
from sage.related_work.totality.state import StoreLimits, StoreState, nodes_of
from sage.related_work.totality.store import TotalityStore, snapshot_id

JOURNAL_NAME = "totality.journal"
#: Snapshots that are kept: the journal goes back to the oldest.
NUM_SNAPSHOTS = 2
#: After so many bytes of changes a snapshot is written and the journal is shortened.
PERSIST_AFTER_BYTES = 32 << 20
_PREFIX, _SUFFIX = "totality-", ".snapshot.json"


class SnapshotFile(Content):
    """snapshot_id: the digest of `snapshot`.  last_number: of the newest change that is part of it."""

    last_number: int = Field(ge=0)
    snapshot_id: str
    snapshot: Snapshot


class Folder:
    """The files of a store, read-only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def journal(self) -> Path:
        return self.path / JOURNAL_NAME

    def snapshots(self) -> list[Path]:
        """Newest first."""
        return sorted(self.path.glob(f"{_PREFIX}*{_SUFFIX}"), reverse=True)

    def write(self, snapshot: Snapshot, last_number: int) -> tuple[str, int]:
        """(id, bytes) of the new file; older ones than the newest NUM_SNAPSHOTS are deleted."""
        name = snapshot_id(snapshot)
        body = SnapshotFile.model_construct(last_number=last_number, snapshot_id=name, snapshot=snapshot)
        content = body.model_dump_json().encode()
        framed = f"{digest_of(content)}\n".encode() + content
        write_file(self.path / f"{_PREFIX}{last_number:020d}{_SUFFIX}", framed)
        for old in self.snapshots()[NUM_SNAPSHOTS:]:
            old.unlink(missing_ok=True)
        return name, len(framed)

    @staticmethod
    def read(path: Path) -> SnapshotFile | None:
        """None when the file is damaged. NewerVersion when it is whole and this version cannot read it."""
        digest, _, content = path.read_bytes().partition(b"\n")
        if digest.decode("ascii", "replace") != digest_of(content):
            return None
        try:
            return SnapshotFile.model_validate_json(content)
        except ValidationError as error:
            raise NewerVersion(_of_newer(path, error)) from error

    def oldest_number(self) -> int:
        """What the journal may be shortened to: the last change of the oldest snapshot."""
        return int(self.snapshots()[-1].name[len(_PREFIX) : -len(_SUFFIX)])


class JournalLog:
    """The store's ChangeLog on a memory journal."""

    def __init__(self, journal: Journal, timeout_secs: float) -> None:
        self._journal = journal
        self._timeout_secs = timeout_secs

    @property
    def last_number(self) -> int:
        return self._journal.last_sequence

    def append(self, change: Change) -> int:
        number = self._journal.append(_row(change))
        if number == 0:
            problem = self._journal.problem or "too large"
            raise NotDurable(f"the change is not queued for the disk ({problem}): write less, or try again")
        return number

    def wait(self, number: int) -> None:
        if not self._journal.wait(number, self._timeout_secs):
            problem = self._journal.problem or "the disk is slow"
            raise NotDurable(f"applied, but not on the disk in {self._timeout_secs:g} s: {problem}")


@dataclass(slots=True)
class Recovered:
    """state: of the folder.  last_number: of the newest change in it.  num_bytes: of the changes after the
    newest snapshot.  notices: what was damaged.
    """

    state: StoreState = field(default_factory=StoreState)
    last_number: int = 0
    num_bytes: int = 0
    notices: list[str] = field(default_factory=list)


class TotalityFolder:
    """A durable store. Open it with `with`, or call `close`.

    InputError when another process has the folder, JournalUnusable for a journal of another program,
    NewerVersion for files of a newer version.
    notices: one line for each file that was damaged.
    """

    def __init__(
        self,
        path: Path,
        now_ns: Callable[[], int],
        *,
        operations: OperationRegistry | None = None,
        limits: StoreLimits | None = None,
        timeout_secs: float = 5.0,
    ) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._folder = Folder(path)
        self._lock_file = _locked(path)
        self._persisting = threading.Lock()
        try:
            limits = limits or StoreLimits()
            recovered, contents = _recover(self._folder, limits)
            self.notices = tuple(recovered.notices)
            self._journal = Journal(
                self._folder.journal, contents=contents, start_after=recovered.last_number
            )
        except BaseException:
            os.close(self._lock_file)
            raise
        self._persisted_bytes = -recovered.num_bytes  # sessions add up, however short each is
        log = JournalLog(self._journal, timeout_secs)
        self.store = TotalityStore(
            now_ns, operations=operations, limits=limits, log=log, state=recovered.state
        )

    def persist(self) -> PersistReply:
        """Write a snapshot now and shorten the journal. OSError when the disk is full."""
        with self._persisting:
            self._persisted_bytes = self._journal.statistics().bytes_appended
            snapshot, last = self.store.checkpoint()
            name, num_bytes = self._folder.write(snapshot, last)
            self._journal.prune(self._folder.oldest_number())
        return PersistReply(status="ok", snapshot_id=name, num_bytes=num_bytes)

    def persist_if_long(self) -> bool:
        """Persist once the changes since the last snapshot have PERSIST_AFTER_BYTES; call it now and then."""
        grown = self._journal.statistics().bytes_appended - self._persisted_bytes
        if grown < PERSIST_AFTER_BYTES or self._persisting.locked():
            return False
        self.persist()
        return True

    def saved(self, name: str) -> Snapshot:
        """The snapshot of this id that `persist` wrote. UnknownId when it is not kept."""
        for path in self._folder.snapshots():
            found = Folder.read(path)
            if found is not None and found.snapshot_id == name:
                return found.snapshot
        raise UnknownId(f"{name[:128]}: no snapshot of this id: the newest {NUM_SNAPSHOTS} are kept")

    def close(self) -> None:
        """Write what is queued and give the folder back. Idempotent."""
        if self._lock_file < 0:
            return
        self._journal.close()
        os.close(self._lock_file)
        self._lock_file = -1

    def __enter__(self) -> TotalityFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _locked(path: Path) -> int:
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise InputError(f"{path}: in use by another process: stop it, or give another folder") from error
    return descriptor


def _recover(folder: Folder, limits: StoreLimits) -> tuple[Recovered, JournalContents]:
    """The newest whole snapshot, then the later changes of the journal."""
    found = Recovered()
    for path in folder.snapshots():
        saved = Folder.read(path)
        if saved is None:
            aside = set_aside(path, is_damaged=_is_damaged)
            found.notices.append(f"{path.name} is damaged: renamed to {aside.name}")
            # Each has a number of its own in its name.
            keep_newest(sorted(folder.path.glob(f"{_PREFIX}*{_SUFFIX}.damaged")), _is_damaged)
            continue
        nodes = nodes_of(saved.snapshot, stamp_ns=saved.snapshot.taken_ns, half_life_s=limits.half_life_s)
        found.state.apply(Change(nodes=nodes, num_made=saved.snapshot.num_made))
        found.last_number = saved.last_number
        break
    contents = read_journal(folder.journal, after=found.last_number)
    for row in contents.rows:
        try:
            change = Change.model_validate_json(row.scalars["change"])
        except ValidationError as error:
            raise NewerVersion(_of_newer(folder.journal, error)) from error
        found.state.apply(change)
        found.num_bytes += len(row.scalars["change"])
    if not contents.is_intact:
        found.notices.append(
            f"{folder.journal.name} is damaged: {contents.num_damaged} changes are lost,"
            f" {len(contents.rows)} are restored; its copy ends in .damaged"
        )
    found.last_number = max(found.last_number, contents.newest_sequence)
    return found, contents


def _is_damaged(path: Path) -> bool:
    try:
        return Folder.read(path) is None
    except NewerVersion:
        return False


def _of_newer(path: Path, error: ValidationError) -> str:
    """Its checksum is right, so that it is as it was written."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return (
        f"{path}: whole, but not of this version of SAGE ({place}: {first['msg']}): upgrade SAGE, or give"
        " another folder"
    )


def _row(change: Change) -> JournalRow:
    return JournalRow(
        store="totality",
        slot=-1,
        id=0,
        first_id=0,
        episode=0,
        first_episode=0,
        context=0,
        epoch_ns=0,
        time_ns=0,
        salience=0.0,
        trust=0.0,
        scalars={"change": change.model_dump_json()},
        arrays={},
    )
