"""Opening a metrics store whose file may be damaged.

Invariant: no figure is read from a page that differs from what was written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sage.app.store.metrics_store import MetricsStore
from sage.app.store.page_checks import SUFFIX, DamagedChecks, damage_of_file, damage_of_log
from sage.app.store.schema import refuse_newer
from sage.app.terminal.errors import UserError
from sage.durable import damaged_name, remove_partials, set_aside_of


def open_to_read(path: Path) -> MetricsStore:
    """The store of past sessions. UserError for a damaged one, and as MetricsStore."""
    if path.is_file():
        refuse_newer(path)
        try:
            damage = damage_of_file(path)
        except DamagedChecks as error:
            raise UserError(str(error)) from None
        if damage:
            raise UserError(
                f"{path}: damaged ({damage}): the next `sage run` renames it and starts a new one; to read it"
                f" all the same, delete {path.name}{SUFFIX}"
            )
    return MetricsStore(path, must_exist=True)


def repair(path: Path, say: Callable[[str], object]) -> None:
    """Before a session writes to the store: a damaged one is renamed, with its log; what is lost is passed to
    `say`, a line each. Unfinished files of killed processes in its folder are deleted. No other process may
    write. UserError for one of a newer version, which may keep its checksums in another way: its files stay
    as they are.
    """
    remove_partials(path.parent)
    if not path.is_file():
        return
    refuse_newer(path)
    checks = path.with_name(path.name + SUFFIX)
    log = damage_of_log(path)
    if log:
        say(f"metrics store: {log}")
    try:
        damage = damage_of_file(path)
    except DamagedChecks:
        say(f"metrics store: {checks.name} is damaged; it is written again")
        checks.unlink()
        return
    if not damage:
        return
    for suffix in ("-shm", SUFFIX):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    aside, beside = damaged_name(path), path.with_name(f"{path.name}-wal")
    if beside.exists():
        beside.replace(aside.with_name(f"{aside.name}-wal"))
    path.replace(aside)
    say(f"metrics store: {damage}: renamed to {aside.name}; a new one is started")
    asides = set_aside_of(path).values()
    if len(asides) > 1:  # none is deleted: each has sessions that no other file has
        num_mb = sum(each.stat().st_size for each in asides) / 1e6
        say(f"metrics store: {len(asides)} damaged ones, {num_mb:.1f} MB: delete those that you do not need")
