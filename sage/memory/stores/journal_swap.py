"""The files of a journal, and their replacement by a new one in steps of which a crash may leave any out.

The new file is complete and on the disk under a hidden name before an old one is touched. While a file has
that name, it is the journal. Invariant: at any time `present` is a journal with all rows that are kept.
Imports no torch.
"""

from __future__ import annotations

from pathlib import Path

from sage.durable import damaged_name, sync_folder

#: A file that is written, and has no row yet that counts.
_PARTIAL = "partial"
#: Complete, and what becomes of the old files: renamed, or deleted.
_REPAIRED, _RESTARTED = "repaired", "restarted"


def present(path: Path) -> Path:
    """`path`, or the replacement that a crash has kept from this name."""
    return next(filter(Path.exists, (_hidden(path, _REPAIRED), _hidden(path, _RESTARTED))), path)


def journals_in(folder: Path) -> set[Path]:
    """Each *.sqlite in the folder, also where a crash has kept a replacement from this name."""
    hidden = {
        each.with_name(each.name[1:].removesuffix(f".{state}"))
        for state in (_REPAIRED, _RESTARTED)
        for each in folder.glob(f".*.sqlite.{state}")
    }
    return hidden | set(folder.glob("[!.]*.sqlite"))


def files_of(path: Path) -> set[Path]:
    """All names of files that belong to the journal at `path`; what else is beside it is a leftover."""
    parts = {path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")}
    return parts | {_hidden(path, state) for state in (_REPAIRED, _RESTARTED)}


def partial_of(path: Path) -> Path:
    """Where a replacement of `path` is written."""
    return _hidden(path, _PARTIAL)


def put_in_place(path: Path, *, keeps_old: bool) -> Path | None:
    """Rename `partial_of(path)`, a journal without a log that is fsynced, to `path`. The old files are
    deleted, or renamed: then their new name is returned.
    """
    partial_of(path).replace(_hidden(path, _REPAIRED if keeps_old else _RESTARTED))
    sync_folder(path.parent)
    return finish(path)


def finish(path: Path) -> Path | None:
    """The second half of `put_in_place`, if it began. OSError for a read-only disk."""
    aside = None
    for state in (_REPAIRED, _RESTARTED):
        new = _hidden(path, state)
        if not new.exists():
            continue
        if state == _REPAIRED:
            aside = _set_aside(path)
        else:
            delete_journal(path)
        new.replace(path)
        sync_folder(path.parent)
    return aside


def delete_journal(path: Path) -> None:
    """Delete the file and its write-ahead log."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _set_aside(path: Path) -> Path:
    """Rename the file, and its log so that SQLite finds it. The log first: a call after a crash then finds
    the same name.
    """
    aside = damaged_name(path)
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    for suffix in ("-wal", ""):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.replace(aside.with_name(aside.name + suffix))
    return aside


def _hidden(path: Path, state: str) -> Path:
    return path.with_name(f".{path.name}.{state}")
