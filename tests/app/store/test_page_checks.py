"""Checksums of the metrics store's pages: a flipped bit in the file, its log or the checksums is found."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.app.store.opening import open_to_read, repair
from sage.app.store.page_checks import LOCK_BYTE, SUFFIX, damage_of_file, damage_of_log, log_bytes, merge
from sage.app.store.schema import SCHEMA_VERSION
from sage.app.terminal.errors import UserError


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def flip_at(path: Path, byte: int) -> None:
    with path.open("r+b") as file:
        file.seek(byte)
        (value,) = file.read(1)
        file.seek(byte)
        file.write(bytes([value ^ 1]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    with MetricsStore(path) as store:
        SyntheticSession(num_ticks=40).play(store.instrument(store.begin_session(name="a")))
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    for file in whole.parent.iterdir():
        shutil.copy(file, tmp_path / file.name)
    return tmp_path / whole.name


def test_a_closed_store_has_its_checksums(path: Path) -> None:
    assert log_bytes(path) == 0
    assert damage_of_file(path) == ""
    with open_to_read(path) as store:
        assert store.session("a").num_ticks == 40


def test_any_flipped_bit_of_the_file_is_found(path: Path) -> None:
    num_bits = path.stat().st_size * 8
    chance = np.random.default_rng(0)
    for bit in (*range(0, 800, 33), *chance.integers(0, num_bits, 40).tolist()):
        flip(path, bit)
        page = bit // 8 // 4096 + 1
        assert damage_of_file(path) == f"the checksum of page {page} differs (1 in all)"
        flip(path, bit)
    assert damage_of_file(path) == ""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_store_beyond_one_gibibyte_is_not_damaged(path: Path) -> None:
    """SQLite leaves out the page of the byte that it locks, which is the first one after 1 GiB."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE filling (bytes BLOB)")
        while path.stat().st_size <= LOCK_BYTE + 4096:
            connection.execute("INSERT INTO filling VALUES (zeroblob(64 * 1024 * 1024))")
            merge(connection, path)
    assert damage_of_file(path) == ""
    num_bytes = path.stat().st_size
    flip_at(path, num_bytes - 2048)
    assert damage_of_file(path) == f"the checksum of page {num_bytes // 4096} differs (1 in all)"


def test_what_a_killed_process_left_unfinished_is_deleted(path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = [path.with_name(f".{path.name}{SUFFIX}.{pid}.partial") for pid in (ended.pid, os.getppid())]
    for each in left:
        each.write_bytes(b"unfinished")
    repair(path, pytest.fail)
    assert [each.exists() for each in left] == [False, True]


def test_a_damaged_store_is_refused_by_readers_and_renamed_by_the_next_session(path: Path) -> None:
    flip(path, path.stat().st_size * 4)
    with pytest.raises(UserError, match=r"damaged \(the checksum of page"):
        open_to_read(path)
    said: list[str] = []
    repair(path, said.append)
    assert len(said) == 1
    assert "renamed to store.sqlite.damaged" in said[0]
    with MetricsStore(path) as store:
        assert store.sessions() == ()
    assert damage_of_file(path) == ""


def test_a_second_damaged_store_keeps_its_own_log_and_the_first_one_its(path: Path) -> None:
    for number in range(2):
        flip(path, path.stat().st_size * 4)
        path.with_name("store.sqlite-wal").write_bytes(b"log %d" % number)
        repair(path, lambda _: None)
        assert not path.exists()
        with MetricsStore(path) as store:
            SyntheticSession(num_ticks=40).play(store.instrument(store.begin_session(name="a")))
    logs = [path.with_name(f"store.sqlite{part}.damaged-wal").read_bytes() for part in ("", ".2")]
    assert logs == [b"log 0", b"log 1"]
    assert all(path.with_name(f"store.sqlite{part}.damaged").exists() for part in ("", ".2"))


def test_damaged_checksums_are_written_again(path: Path) -> None:
    checks = path.with_name(path.name + SUFFIX)
    for bit in (0, 70, 100, 8 * checks.stat().st_size - 1):
        flip(checks, bit)
        with pytest.raises(UserError, match="damaged"):
            open_to_read(path)
        said: list[str] = []
        repair(path, said.append)
        assert said == ["metrics store: store.sqlite.pages is damaged; it is written again"]
        with MetricsStore(path) as store:
            assert store.begin_session() != "a"
        assert damage_of_file(path) == ""


def test_a_log_that_a_kill_left_is_compared_frame_by_frame(path: Path, tmp_path: Path) -> None:
    """The file's pages may then be those before or after; the log's frames have SQLite's own checksums."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        for number in range(20):
            connection.execute("UPDATE sessions SET seed = ?", (number,))
        killed = tmp_path / "killed"
        killed.mkdir()
        for file in tmp_path.glob("store.sqlite*"):
            shutil.copy(file, killed / file.name)
        merge(connection, path)
    assert damage_of_file(path) == ""
    store, log = killed / "store.sqlite", killed / "store.sqlite-wal"
    assert (damage_of_file(store), damage_of_log(store)) == ("", "")
    data = log.read_bytes()
    frame = 32 + 4120 * 3
    for at in (0, 9, 17, 25, frame, frame + 9, frame + 17, frame + 1000, len(data) - 1):
        flip(log, at * 8)
        assert "rows are lost" in damage_of_log(store)
        flip(log, at * 8)
    said: list[str] = []
    repair(store, said.append)
    assert said == []
    with MetricsStore(store) as opened:
        assert opened.session("a").seed == 19


@pytest.mark.parametrize("checks", ["stale", "of another form"])
def test_a_store_of_a_newer_version_stays_whatever_its_checksums_are(path: Path, checks: str) -> None:
    """A newer version may keep none, or other ones."""
    beside = path.with_name(path.name + SUFFIX)
    stale = beside.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        connection.execute("CREATE TABLE later (text TEXT)")
    beside.write_bytes(stale if checks == "stale" else b"SAGEPAG2")
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    for use in (lambda: repair(path, print), lambda: open_to_read(path)):
        with pytest.raises(
            UserError,
            match=f"schema version {SCHEMA_VERSION + 1}, this SAGE reads {SCHEMA_VERSION}: upgrade SAGE",
        ):
            use()
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == before


def test_several_damaged_stores_stay_and_are_one_line(path: Path) -> None:
    """Each has sessions that no other file has."""
    checks, lines = path.with_name(path.name + SUFFIX), []
    whole = {each: each.read_bytes() for each in (path, checks)}
    for _ in range(5):
        for each, content in whole.items():
            each.write_bytes(content)
        flip(path, path.stat().st_size * 4)
        repair(path, lines.append)
    assert len([*path.parent.glob("*.damaged")]) == 5
    assert "metrics store: 5 damaged ones, " in lines[-1]
    assert "delete those that you do not need" in lines[-1]
