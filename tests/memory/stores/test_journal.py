"""The journal: acknowledged rows survive, damaged ones are never returned, and its bytes are bounded."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from sage.memory.stores import journal_row
from sage.memory.stores.journal import Journal
from sage.memory.stores.journal_file import (
    JournalNotOpened,
    JournalUnusable,
    open_journal,
    open_repaired,
    read_journal,
    restart_journal,
)
from sage.memory.stores.journal_pages import PAGE_BYTES
from sage.memory.stores.journal_row import MARK, DamagedRow, JournalRow, decode, encode

WAIT_SECS = 60.0


def row(number: int, size: int = 16) -> JournalRow:
    return JournalRow(
        store="recall",
        slot=number % 7,
        id=number,
        first_id=number,
        episode=number // 10,
        first_episode=number // 10,
        context=number % 3,
        epoch_ns=10**18,
        time_ns=number * 10**9,
        salience=0.5,
        trust=0.25,
        scalars={"num_seen": number, "generator": {"state": 2**100 + number}},
        arrays={"keys": np.full(size, number, np.float32), "times_ns": np.int64(number)[None]},
    )


def assert_is(found, number: int) -> None:
    assert (found.id, found.slot, found.context) == (number, number % 7, number % 3)
    assert found.scalars == {"num_seen": number, "generator": {"state": 2**100 + number}}
    assert np.all(found.array("keys") == number)
    assert found.wall_ns == 10**18 + number * 10**9


def fill(path: Path, numbers: range, size: int = 16) -> None:
    journal = Journal(path)
    for number in numbers:
        assert journal.append(row(number, size)) == number
    assert journal.wait(numbers[-1], WAIT_SECS)
    journal.close()


def ids(path: Path, after: int = 0) -> list[int]:
    return [found.id for found in read_journal(path, after=after).rows]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "mind.sqlite"


def test_rows_come_back_in_order(path: Path) -> None:
    fill(path, range(1, 101))
    contents = read_journal(path)
    assert [found.sequence for found in contents.rows] == list(range(1, 101))
    for found in contents.rows:
        assert_is(found, found.sequence)
    assert (contents.num_damaged, contents.newest_sequence, contents.is_intact) == (0, 100, True)
    assert ids(path, after=98) == [99, 100]


def test_rows_larger_than_a_page_come_back(path: Path) -> None:
    """A row's BLOB continues in overflow pages; sizes around every boundary of their layout."""
    sizes = [*range(960, 1000), *range(1980, 2060), 5000, 40_000]
    journal = Journal(path)
    for number, size in enumerate(sizes, start=1):
        journal.append(row(number, size))
    journal.close()
    contents = read_journal(path)
    assert [found.array("keys").shape[0] for found in contents.rows] == sizes
    assert contents.is_intact


def test_a_group_is_one_commit(path: Path) -> None:
    journal = Journal(path)
    assert journal.append_group([row(number) for number in range(1, 65)]) == 64
    assert journal.wait(64, WAIT_SECS)
    assert journal.statistics().num_groups == 1
    journal.close()
    assert ids(path) == list(range(1, 65))


def test_a_journal_continues_after_its_newest_row(path: Path) -> None:
    fill(path, range(1, 4))
    journal = Journal(path, start_after=2)
    assert journal.append(row(4)) == 4
    journal.close()
    later = Journal(path, start_after=50)
    assert later.append(row(51)) == 51
    later.close()
    assert ids(path) == [1, 2, 3, 4, 51]


def test_an_absent_journal_is_empty(path: Path) -> None:
    assert read_journal(path).rows == ()
    assert not path.exists()


def test_pruned_rows_are_gone_and_their_numbers_are_not_used_again(path: Path) -> None:
    fill(path, range(1, 31))
    journal = Journal(path)
    journal.prune(30)
    journal.close()
    assert read_journal(path) == read_journal(path, after=30)
    assert ids(path) == []
    journal = Journal(path)
    assert journal.append(row(31)) == 31
    journal.close()
    contents = read_journal(path)
    assert [found.id for found in contents.rows] == [31]
    assert contents.is_intact


def test_a_queue_without_room_drops_and_counts(path: Path) -> None:
    journal = Journal(path, max_queued_bytes=10)
    assert journal.append(row(1)) == 0
    assert journal.statistics().num_dropped == 1
    journal.close()
    assert read_journal(path).is_intact


def test_scalars_that_json_lacks_are_refused_at_once(path: Path) -> None:
    journal = Journal(path)
    with pytest.raises(ValueError):
        journal.append(JournalRow(**{**_fields(row(1)), "scalars": {"loss": float("nan")}}))
    assert journal.append(row(1)) == 1
    journal.close()
    assert ids(path) == [1]


def _fields(each: JournalRow) -> dict[str, object]:
    return {name: getattr(each, name) for name in JournalRow.__slots__}


def test_a_restarted_journal_holds_only_the_given_rows(path: Path) -> None:
    fill(path, range(1, 21))
    kept = read_journal(path).rows[15:]
    restart_journal(path, kept)
    assert read_journal(path).rows == kept
    journal = Journal(path)
    assert journal.append(row(21)) == 21
    journal.close()


# --- other files


def test_files_of_others_are_refused_and_left(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE letters (text TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    for use in (read_journal, open_journal):
        with pytest.raises(JournalUnusable, match="not a memory journal"):
            use(path)
    assert path.read_bytes() == before


def test_a_newer_version_is_refused(path: Path) -> None:
    fill(path, range(1, 2))
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM rows")
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.execute("VACUUM")
    connection.close()
    for use in (read_journal, open_journal):
        with pytest.raises(JournalUnusable, match="schema version 99"):
            use(path)


# --- damage


def test_a_row_cut_anywhere_or_with_any_bit_changed_is_damaged() -> None:
    data = encode(5, row(5, size=4))
    assert_is(decode(data), 5)
    for end in range(len(data)):
        with pytest.raises(DamagedRow):
            decode(data[:end])
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedRow):
            decode(bytes(changed))


@pytest.fixture
def killed(path: Path) -> Path:
    """As kill -9 leaves it: 40 rows in the file, 12 more in the write-ahead log, in commits of three."""
    fill(path, range(1, 41))
    connection = open_journal(path)
    for first in range(41, 53, 3):
        connection.execute("BEGIN")
        for number in range(first, first + 3):
            connection.execute("INSERT INTO rows VALUES (?, ?)", (number, encode(number, row(number))))
        connection.execute("COMMIT")
    _copy(path, path.parent / "killed.sqlite")
    connection.close()
    return path.parent / "killed.sqlite"


def _copy(source: Path, target: Path, *, log: bytes | None = None, file: bytes | None = None) -> Path:
    target.write_bytes(source.read_bytes() if file is None else file)
    old_log = source.with_name(f"{source.name}-wal")
    target.with_name(f"{target.name}-wal").write_bytes(old_log.read_bytes() if log is None else log)
    target.with_name(f"{target.name}-shm").unlink(missing_ok=True)
    return target


def _ends(log: bytes) -> list[int]:
    """The log's length after each of its four commits."""
    frame = 24 + 4096
    is_commit = [at for at in range(32, len(log), frame) if int.from_bytes(log[at + 4 : at + 8], "big")]
    return [at + frame for at in is_commit]


def test_the_log_cut_at_every_byte_of_its_last_records(killed: Path) -> None:
    log = killed.with_name(f"{killed.name}-wal").read_bytes()
    ends = _ends(log)
    assert len(ends) == 4
    for end in (*range(ends[-2] - 40, ends[-2] + 120), *range(ends[-2] + 120, len(log) + 1, 7)):
        cut = _copy(killed, killed.parent / "cut.sqlite", log=log[:end])
        contents = read_journal(cut)
        for found in contents.rows:
            assert_is(found, found.id)
        num_committed = 40 + 3 * sum(end >= each for each in ends)
        assert [found.id for found in contents.rows][:num_committed] == list(range(1, num_committed + 1))
        assert len(contents.rows) <= 52


@pytest.mark.parametrize("part", ["file", "log"])
def test_a_flipped_bit_costs_the_rows_that_it_touches_and_no_other(killed: Path, part: str) -> None:
    """Also in page headers, in SQLite's tree and in the log's frames, which SQLite checks in a chain."""
    contents = {
        "file": killed.read_bytes(),
        "log": killed.with_name(f"{killed.name}-wal").read_bytes(),
    }
    generator = np.random.default_rng(3)
    num_bits = 8 * len(contents[part])
    bits = [*generator.integers(num_bits, size=150), *range(0, 8 * 120, 5), *range(8 * 4096, 8 * 4110, 3)]
    num_harmless = 0
    for bit in bits:
        changed = bytearray(contents[part])
        changed[bit // 8] ^= 1 << int(bit % 8)
        flipped = _copy(killed, killed.parent / "flipped.sqlite", **{part: bytes(changed)})
        read = read_journal(flipped)
        for found in read.rows:
            assert_is(found, found.id)
        lost = set(range(1, 53)) - {found.id for found in read.rows}
        assert len(lost) <= 1, bit
        assert len(lost) <= read.num_damaged <= 2, bit  # 2: its own number, and the one it states
        num_harmless += not lost
    assert num_harmless > 0


def test_a_flipped_bit_in_the_number_up_to_which_rows_are_deleted_costs_none(path: Path) -> None:
    journal = Journal(path)
    for number in range(1, 41):
        journal.append(row(number))
    assert journal.wait(40, WAIT_SECS)
    journal.prune(30)
    journal.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE pruned SET up_to = ?", (30 ^ 32,))
        connection.commit()
    contents = read_journal(path)
    assert [found.id for found in contents.rows] == list(range(31, 41))
    assert (contents.num_damaged, contents.newest_sequence, contents.is_intact) == (0, 40, False)
    open_repaired(path).close()
    assert ids(path) == list(range(31, 41))
    assert read_journal(path).is_intact


def test_a_damaged_number_in_the_tree_is_no_number_of_a_row(path: Path) -> None:
    """All numbers between were held in memory, as of rows that are lost."""
    fill(path, range(1, 41))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE rows SET sequence = ? WHERE sequence = 40", (40 | 1 << 50,))
        connection.commit()
    contents = read_journal(path)
    assert [found.id for found in contents.rows] == list(range(1, 41))
    assert (contents.num_damaged, contents.newest_sequence, contents.is_intact) == (0, 40, False)


def test_text_of_the_schema_that_is_no_utf8_is_damage(path: Path) -> None:
    """The module sqlite3 has an error of its own for SQLite's message of it."""
    fill(path, range(1, 11))
    changed = path.read_bytes().replace(b"CREATE TABLE rows", b"CRE\xc1TE TABLE rows")
    path.write_bytes(changed)
    assert [found.id for found in read_journal(path).rows] == list(range(1, 11))
    fill(path, range(11, 13))
    assert ids(path) == list(range(1, 13))
    path.write_bytes(changed)
    with pytest.raises(JournalNotOpened):
        open_journal(path)


def test_a_flipped_bit_in_a_row_is_counted(killed: Path) -> None:
    file = killed.read_bytes()
    at = file.index(encode(7, row(7))) + 100
    changed = file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]
    contents = read_journal(_copy(killed, killed.parent / "flipped.sqlite", file=changed))
    assert (contents.num_damaged, contents.is_intact) == (1, False)
    assert [found.id for found in contents.rows] == [number for number in range(1, 53) if number != 7]


def test_remains_that_sqlite_leaves_between_cells_are_no_damage(path: Path) -> None:
    """Seen after kill -9: a cell was moved within its page, and its mark stayed before the first cell."""
    fill(path, range(1, 40))
    file = bytearray(path.read_bytes())
    pages = [
        at
        for at in range(0, len(file), PAGE_BYTES)
        if file[at] == 0x0D and MARK in file[at : at + PAGE_BYTES]
    ]
    num_changed = 0
    for at in pages:
        num_cells, first = (int.from_bytes(file[at + each : at + each + 2], "big") for each in (3, 5))
        if first - 8 - 2 * num_cells >= 12:
            file[at + first - 12 : at + first] = MARK + b"\xea\x01\0\0"  # the rest is of the first cell
            num_changed += 1
    assert num_changed
    path.write_bytes(file)
    contents = read_journal(path)
    assert (contents.num_damaged, contents.is_intact, len(contents.rows)) == (0, True, 39)


def _flipped_frame(killed: Path) -> Path:
    """One bit of the log's third frame header: SQLite drops this frame and all after it."""
    log = bytearray(killed.with_name(f"{killed.name}-wal").read_bytes())
    log[32 + 2 * (24 + 4096) + 17] ^= 1
    return _copy(killed, killed.parent / "flipped.sqlite", log=bytes(log))


def _content(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


@pytest.mark.parametrize("log", ["whole", "damaged", "empty", "gone"])
def test_reading_changes_no_file_and_reads_the_same_again(killed: Path, log: str) -> None:
    path = _flipped_frame(killed) if log == "damaged" else killed
    if log == "empty":
        path.with_name(f"{path.name}-wal").write_bytes(b"")
    elif log == "gone":
        path.with_name(f"{path.name}-wal").unlink()
    before = _content(path.parent)
    contents = read_journal(path)
    assert read_journal(path) == contents
    assert _content(path.parent) == before
    assert len(contents.rows) == (52 if log in ("whole", "damaged") else 40)
    assert contents.is_intact == (log != "damaged")


def test_copies_that_killed_processes_left_are_deleted(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import os; print(os.getpid())"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    home = tmp_path / "temporary"
    for name in (f".journal-{ended}-a", f".journal-{os.getpid()}-b", ".journal-other"):
        (home / name).mkdir(parents=True)
        (home / name / "key.sqlite").write_bytes(b"memories")
    monkeypatch.setattr("tempfile.tempdir", str(home))
    assert ids(killed)
    assert {each.name for each in home.iterdir()} == {f".journal-{os.getpid()}-b", ".journal-other"}


def test_a_file_that_was_cut_while_it_was_made_is_an_empty_journal(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert read_journal(path).is_intact
    fill(path, range(1, 3))
    assert ids(path) == [1, 2]


def test_without_room_for_a_copy_the_rows_are_read_and_nothing_is_called_damaged(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = _content(killed.parent)
    monkeypatch.setattr(shutil, "copyfile", full)
    contents = read_journal(killed)
    assert [found.id for found in contents.rows] == list(range(1, 53))
    assert (contents.num_damaged, contents.is_intact) == (0, True)
    assert "No space left on device" in contents.problem
    assert _content(killed.parent) == before


# --- repair


@contextmanager
def full_disk(num_bytes: int) -> Iterator[None]:
    """No file of this process can be longer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_damaged_journal_is_replaced_by_its_intact_rows(killed: Path) -> None:
    path = _flipped_frame(killed)
    old = path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()
    journal = Journal(path)
    assert journal.append(row(53)) == 53
    journal.close()
    assert ids(path) == list(range(1, 54))
    assert read_journal(path).is_intact
    kept = path.with_name(f"{path.name}.damaged")
    assert (kept.read_bytes(), kept.with_name(f"{kept.name}-wal").read_bytes()) == old
    assert ids(kept) == list(range(1, 53))


def test_of_damaged_journals_the_newest_stay_and_a_whole_one_that_was_set_aside(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(path, range(1, 41))
    whole = path.read_bytes()
    restart_journal(path, read_journal(path).rows[:1], keeps_old=True)
    damaged = bytearray(whole)
    damaged[whole.index(b"SAGEJROW") + 60] ^= 1
    for _ in range(6):
        path.write_bytes(damaged)
        open_repaired(path).close()
    names = {each.name for each in path.parent.glob("*.damaged")}
    assert names == {f"{path.name}{number}.damaged" for number in ("", ".5", ".6", ".7")}
    assert path.with_name(f"{path.name}.damaged").read_bytes() == whole, "no other file has its rows"
    assert "4 set aside" in caplog.messages[-1]
    assert len(read_journal(path).rows) == 39


#: In the file's header, and in the headers of the first pages of its tables.
HEADER_BITS = (*range(8 * 16, 8 * 100, 29), *range(8 * 2 * 4096, 8 * (2 * 4096 + 12), 7))
#: Of the version: with one of them altered it is that of a newer file, which is refused and stays.
VERSION_BITS = range(8 * 63 + 1, 8 * 63 + 6)


def test_with_any_bit_of_a_header_flipped_it_opens_and_takes_rows(path: Path) -> None:
    fill(path, range(1, 41))
    whole = path.read_bytes()
    for bit in {*HEADER_BITS} - {*VERSION_BITS}:
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        flipped = path.with_name("flipped.sqlite")
        flipped.write_bytes(changed)
        journal = Journal(flipped, start_after=40, retry_secs=0.01)
        assert journal.append(row(41)) == 41
        assert journal.wait(41, WAIT_SECS), (bit, journal.problem)
        journal.close()
        assert ids(flipped) == list(range(1, 42)), bit


def test_a_newer_journal_with_rows_that_this_version_reads_is_refused_and_stays(path: Path) -> None:
    fill(path, range(1, 3))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = _content(path.parent)
    for use in (read_journal, Journal, open_repaired):
        with pytest.raises(JournalUnusable, match=r"schema version 2, this version of SAGE reads up to 1"):
            use(path)
    assert _content(path.parent) == before


def test_a_journal_with_rows_of_both_versions_is_refused_and_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path, range(1, 3))
    monkeypatch.setattr(journal_row, "ROW_VERSION", 2)
    newer = encode(3, row(3))
    monkeypatch.undo()
    connection = open_journal(path)
    connection.execute("INSERT INTO rows VALUES (3, ?)", (newer,))
    connection.close()
    before = _content(path.parent)
    for use in (read_journal, Journal):
        with pytest.raises(JournalUnusable, match=r"rows of a newer version of SAGE, e.g. row 3: upgrade"):
            use(path)
    assert _content(path.parent) == before


@pytest.mark.parametrize("num_renames", range(5))
def test_a_kill_at_any_step_of_the_repair_loses_no_row(
    killed: Path, monkeypatch: pytest.MonkeyPatch, num_renames: int
) -> None:
    path = _flipped_frame(killed)
    replace, calls = Path.replace, []

    def counted(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) > num_renames:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", counted)
    if num_renames < 4:
        with pytest.raises(KeyboardInterrupt):
            Journal(path)
    else:
        Journal(path).close()
    monkeypatch.undo()
    for _ in range(2):
        assert ids(path) == list(range(1, 53))
        Journal(path).close()
    kept = {each.name for each in path.parent.glob("flipped*")}
    assert kept == {path.name, f"{path.name}.damaged", f"{path.name}.damaged-wal"}
    assert not [each for each in path.parent.iterdir() if each.name.startswith(".")]


@pytest.mark.parametrize("num_bytes", [0, 4096, 3 * 4096, 6 * 4096])
@pytest.mark.parametrize("is_damaged", [True, False])
def test_on_a_full_disk_neither_a_whole_nor_a_damaged_journal_loses_a_row(
    killed: Path, num_bytes: int, is_damaged: bool
) -> None:
    path = _flipped_frame(killed) if is_damaged else killed
    before = _content(path.parent)
    with full_disk(num_bytes), pytest.raises(JournalNotOpened, match="free some space"):
        Journal(path)
    assert _content(path.parent) == before
    assert ids(path) == list(range(1, 53))
    Journal(path).close()
    assert ids(path) == list(range(1, 53))
    assert path.with_name(f"{path.name}.damaged").exists() == is_damaged


def test_a_journal_that_could_not_be_opened_takes_rows_and_writes_them_later(killed: Path) -> None:
    path = _flipped_frame(killed)
    with full_disk(4096):
        contents = read_journal(path)
        journal = Journal(path, contents=contents, start_after=52, retry_secs=0.001, may_open_later=True)
        assert journal.last_sequence == journal.acknowledged == 52
        assert "free some space" in journal.problem
        assert journal.append(row(53)) == 53
        assert not journal.wait(53, 0.2)
        assert journal.problem
    assert journal.wait(53, WAIT_SECS)
    assert not journal.problem
    journal.close()
    assert ids(path) == list(range(1, 54))


WRITER = """
import sys
from pathlib import Path
from sage.memory.stores.journal import Journal
from sage.memory.stores.journal_file import read_journal
from sage.memory.stores.journal_row import JournalRow
import numpy as np

path = Path(sys.argv[1])
journal = Journal(path, start_after=read_journal(path).newest_sequence)
while True:
    number = journal.last_sequence + 1
    journal.append(JournalRow(
        store="recall", slot=number % 7, id=number, first_id=number, episode=number // 10,
        first_episode=number // 10, context=number % 3, epoch_ns=10**18, time_ns=number * 10**9, salience=0.5,
        trust=0.25, scalars={"num_seen": number, "generator": {"state": 2**100 + number}},
        arrays={"keys": np.full(400, number, np.float32), "times_ns": np.int64(number)[None]},
    ))
    if number % 5 == 0:
        journal.wait(number - 3, 60)
        print(journal.acknowledged, flush=True)
    if number % 60 == 0:
        journal.prune(number - 50)
"""


@pytest.mark.parametrize("num_kills", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_kill_9_under_write_load_loses_nothing_acknowledged(path: Path, num_kills: int) -> None:
    generator = np.random.default_rng(num_kills)
    acknowledged = 0
    for _ in range(num_kills):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(int(generator.integers(1, 40))):
            acknowledged = int(process.stdout.readline())
        process.kill()
        acknowledged = max(acknowledged, *(int(line) for line in process.communicate()[0].split()), 0)
        contents = read_journal(path)
        found = [each.id for each in contents.rows]
        for each in contents.rows:
            assert_is(each, each.id)
        assert contents.newest_sequence >= acknowledged
        assert found == list(range(found[0], found[-1] + 1))
        assert found[-1] >= acknowledged
        assert found[0] <= max(acknowledged - 49, 1)
        assert contents.num_damaged == 0


# --- a full disk


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import importlib.util
spec = importlib.util.spec_from_file_location("journal_tests", {this!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
journal = module.Journal(Path(sys.argv[1]), retry_secs=0.01, max_queued_bytes=1 << 20)
assert journal.append(module.row(1)) == 1
assert journal.wait(1, 60)
log = Path(sys.argv[1] + "-wal")
resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 5000, resource.RLIM_INFINITY))
for number in range(2, 12):
    journal.append(module.row(number, 2000))
assert not journal.wait(11, 1.0)
print(journal.acknowledged, bool(journal.problem), flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert journal.wait(11, 60)
print(journal.acknowledged, bool(journal.problem), flush=True)
journal.close()
"""


def test_a_full_disk_is_a_problem_and_its_rows_are_written_later(path: Path) -> None:
    script = FULL.format(tests=str(Path(__file__).parent), this=__file__)
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == ["1", "True", "11", "False"]
    assert ids(path) == list(range(1, 12))


def test_memory_and_disk_are_constant_over_many_writes(path: Path) -> None:
    """Pruned as a run prunes: up to the snapshot before the newest."""
    journal = Journal(path)
    big = [row(number, 256) for number in range(64)]
    sizes: list[tuple[int, int]] = []
    for _ in range(12):
        before = journal.last_sequence
        for _ in range(16):
            for each in big:
                assert journal.append(each) > 0
        assert journal.wait(journal.last_sequence, WAIT_SECS)
        journal.prune(before)
        journal.append(row(1))
        assert journal.wait(journal.last_sequence, WAIT_SECS)
        sizes.append((_resident_bytes(), _disk_bytes(path)))
    journal.close()
    assert sizes[-1][0] - sizes[3][0] < 8 << 20
    assert sizes[-1][1] <= 1.1 * max(disk for _, disk in sizes[:4])


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _disk_bytes(path: Path) -> int:
    return sum(os.path.getsize(each) for each in _files(path))


def _files(path: Path) -> Iterator[Path]:
    yield from (each for each in path.parent.iterdir() if each.name.startswith(path.name))
