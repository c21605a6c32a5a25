"""The folder of a trainer: each set of levels has one, so that a run with other levels deletes nothing.

Invariant: nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

from sage.durable import DamagedFile, read_checked
from sage.hrm_core.tasks.contract import Task
from sage.memory.stores.journal_file import read_journal
from sage.runtime.sleep.puzzles.store import JOURNAL, MEMORY, MEMORY_SCHEMA, levels_of


def folder_of_levels(folder: Path, names: Sequence[str], tasks: Sequence[Task]) -> Path:
    """The first of FOLDER, FOLDER.2, FOLDER.3, ... that is of these levels, or of none yet.

    InputError for a memory, JournalUnusable for a journal of a newer version; OSError where one cannot be
    read now.
    """
    others = (folder.with_name(f"{folder.name}.{number}") for number in count(2))
    return next(each for each in chain([folder], others) if _may_hold(each, names, tasks))


def _may_hold(folder: Path, names: Sequence[str], tasks: Sequence[Task]) -> bool:
    """The memory decides; without one the newest row of the journal."""
    rows = read_journal(folder / JOURNAL).rows
    try:
        signature = read_checked(folder / MEMORY, schema=MEMORY_SCHEMA).scalars["signature"]
    except (FileNotFoundError, DamagedFile):
        pass
    else:
        return [each[:3] for each in signature] == levels_of(names, tasks)
    if not rows:
        return True
    level = rows[-1].context
    return 0 <= level < len(tasks) and len(rows[-1].arrays["cells"]) == tasks[level].spec.seq_len
