"""What a run continues from: the newest complete snapshot, then the later rows of the memory journal.

Invariant: a row that is cut or altered is never loaded; how many there are is part of the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sage.memory.stores.journal_file import JournalContents, read_journal
from sage.memory.stores.recovery import apply_rows, were_moved
from sage.runtime.loop import Loop
from sage.runtime.snapshot import load_newest, utc_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """message: the outcome in one line.  sequence: the journal's newest row that the snapshot includes.
    num_rows: rows applied.  contents: of the journal after the snapshot.  has_moved: as were_moved.
    """

    message: str
    sequence: int
    num_rows: int
    contents: JournalContents
    has_moved: bool = False


def recover(home: Path, journal: Path, loop: Loop, *, epoch_ns: int) -> Recovered:
    """Load the snapshot under `home` and the later rows of `journal` into `loop`.

    epoch_ns: wall time of this run's start, unix ns. JournalUnusable for a file that is not a journal.
    """
    loaded = load_newest(home, loop, epoch_ns=epoch_ns)
    sequence = int(loaded.about.get("journal", 0)) if loaded.about is not None else 0
    contents = read_journal(journal, after=sequence)
    num_rows, has_moved = 0, False
    message = loaded.message
    if contents.rows:
        num_rows = apply_rows(loop.memory_writer.memory, contents.rows, epoch_ns=epoch_ns)
        has_moved = were_moved(loop.memory_writer.memory, contents.rows)
        newest = utc_text(max(row.wall_ns for row in contents.rows))
        message += f"; {num_rows} later changes of memory from the journal, the newest of {newest}"
    if contents.num_damaged:
        message += f"; {contents.num_damaged} rows of the journal are damaged and left out"
    return Recovered(
        message=message, sequence=sequence, num_rows=num_rows, contents=contents, has_moved=has_moved
    )
