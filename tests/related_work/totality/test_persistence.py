"""A store in a folder: what was acknowledged is there after a crash, and damage is reported."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sage.durable import NewerVersion, digest_of
from sage.errors import InputError
from sage.mailbox.clock import ManualClock
from sage.related_work.totality import persistence
from sage.related_work.totality.change import Change
from sage.related_work.totality.client import TotalityClient
from sage.related_work.totality.connection import TotalityPlace, open_totality
from sage.related_work.totality.content import Slot
from sage.related_work.totality.errors import NotDurable, UnknownId
from sage.related_work.totality.messages import (
    ActivateRequest,
    ImagineRequest,
    OpCall,
    SchemeDraft,
    Target,
    WriteRequest,
)
from sage.related_work.totality.persistence import JOURNAL_NAME, TotalityFolder, _row
from sage.related_work.totality.read_query import ReadQuery
from sage.related_work.totality.store import TotalityStore
from sage.sensors.contract import SensorContext

#: Four threads write, imagine and activate; each prints what was acknowledged.
WRITER = """
import sys, threading, time
from pathlib import Path
from sage.related_work.totality import persistence
from sage.related_work.totality.content import Slot
from sage.related_work.totality.messages import ImagineRequest, OpCall, SchemeDraft, WriteRequest
persistence.PERSIST_AFTER_BYTES = 20_000
folder = persistence.TotalityFolder(Path(sys.argv[1]), time.time_ns)
start = int(sys.argv[2])
def work(thread):
    for number in range(start, start + 100_000):
        name = f"{thread}-{number}"
        slots = (Slot(name="n", value=number),)
        folder.store.write(WriteRequest(schemes=(SchemeDraft(id=name, label="x", slots=slots),)))
        call = OpCall(op="vary_slot")
        (canvas,) = folder.store.imagine(ImagineRequest(ops=(call,), seed_scheme_ids=(name,))).created
        sys.stdout.write(f"{name} {canvas}\\n")
        sys.stdout.flush()
        folder.persist_if_long()
for thread in range(4):
    threading.Thread(target=work, args=(thread,)).start()
"""


def put(store: TotalityStore, name: str, value: object = 1) -> None:
    slots = (Slot(name="n", value=value),)
    store.write(WriteRequest(schemes=(SchemeDraft(id=name, label=name, slots=slots),)))


def ids(store: TotalityStore) -> set[str]:
    found: set[str] = set()
    cursor = None
    while True:
        page = store.read(ReadQuery(limit=1000, cursor=cursor))
        found |= page.activations.keys()
        cursor = page.cursor
        if cursor is None:
            return found


def test_kill_9_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for turn in range(3):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "store"), str(turn * 1_000_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(120):
                acknowledged |= set(writer.stdout.readline().split())
            os.kill(writer.pid, signal.SIGKILL)
            for line in writer.stdout.read().splitlines():
                acknowledged |= set(line.split()) if len(line.split()) == 2 else set()
        assert writer.returncode == -signal.SIGKILL
        with TotalityFolder(tmp_path / "store", lambda: 0) as folder:
            assert acknowledged <= ids(folder.store)
            assert folder.notices == ()
    assert len(acknowledged) >= 3 * 240
    assert any((tmp_path / "store").glob("*.snapshot.json"))


def test_everything_comes_back_from_journal_and_snapshot(tmp_path: Path, clock: ManualClock) -> None:
    with TotalityFolder(tmp_path, clock.now_ns) as folder:
        store = folder.store
        for name in ("a", "b"):
            put(store, name)
        folder.persist()
        store.imagine(ImagineRequest(ops=(OpCall(op="compose"),), seed_scheme_ids=("a", "b"), seed=1))
        store.activate(ActivateRequest(targets=(Target(id="a", delta=0.8),), decay_half_life_s=5.0))
        put(store, "b", 2)
        before = store.snapshot()
    with TotalityFolder(tmp_path, clock.now_ns) as folder:
        assert folder.store.snapshot() == before
        clock.advance(5_000_000_000)
        (a,) = [e for e in folder.store.read(ReadQuery(scope="schemes")).schemes if e.id == "a"]
        assert a.activation == pytest.approx(0.4)
        put(folder.store, "c")
        new = folder.store.imagine(ImagineRequest(ops=(OpCall(op="vary_slot"),), seed=1)).created
        assert not set(new) & {each.id for each in before.snapshot.canvases}


def test_a_damaged_snapshot_is_set_aside_and_the_older_one_serves(tmp_path: Path, clock: ManualClock) -> None:
    with TotalityFolder(tmp_path, clock.now_ns) as folder:
        for name in ("a", "b", "c"):
            put(folder.store, name)
            folder.persist()
        before = folder.store.snapshot()
    newest = max(tmp_path.glob("*.snapshot.json"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    with TotalityFolder(tmp_path, clock.now_ns) as folder:
        assert folder.store.snapshot() == before
        (notice,) = folder.notices
        assert "is damaged: renamed to" in notice
        assert newest.with_name(f"{newest.name}.damaged").exists()


def test_of_damaged_snapshots_the_newest_stay(tmp_path: Path, clock: ManualClock) -> None:
    for number in range(5):
        with TotalityFolder(tmp_path, clock.now_ns) as folder:
            put(folder.store, f"s{number}")
            folder.persist()
        newest = max(tmp_path.glob("*.snapshot.json"))
        newest.write_bytes(newest.read_bytes()[:-1])
    TotalityFolder(tmp_path, clock.now_ns).close()
    damaged = sorted(tmp_path.glob("*.damaged"))
    assert len(damaged) == 3
    assert damaged[-1].name.startswith(newest.name)


def test_a_snapshot_of_a_newer_version_is_refused_and_stays(tmp_path: Path, clock: ManualClock) -> None:
    with TotalityFolder(tmp_path, clock.now_ns) as folder:
        put(folder.store, "a")
        folder.persist()
    (path,) = tmp_path.glob("*.snapshot.json")
    content = path.read_bytes().partition(b"\n")[2][:-1] + b',"links":[]}'
    path.write_bytes(digest_of(content).encode() + b"\n" + content)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    with pytest.raises(NewerVersion, match=r"not of this version of SAGE \(links: .*: upgrade SAGE"):
        TotalityFolder(tmp_path, clock.now_ns)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_a_change_of_a_newer_version_is_refused_and_stays(tmp_path: Path, clock: ManualClock) -> None:
    with TotalityFolder(tmp_path, clock.now_ns) as folder:
        folder._journal.append(dataclasses.replace(_row(Change()), scalars={"change": '{"links":[]}'}))
    before = (tmp_path / JOURNAL_NAME).read_bytes()
    with pytest.raises(NewerVersion, match=r"not of this version of SAGE \(links"):
        TotalityFolder(tmp_path, clock.now_ns)
    assert (tmp_path / JOURNAL_NAME).read_bytes() == before


def test_a_damaged_journal_is_set_aside_and_the_rest_is_restored(tmp_path: Path, clock: ManualClock) -> None:
    with TotalityFolder(tmp_path, clock.now_ns) as folder:
        for at in range(20):
            put(folder.store, f"s{at}", "x" * 400)
    journal = tmp_path / JOURNAL_NAME
    data = bytearray(journal.read_bytes())
    at = data.index(b"s7")
    data[at] ^= 1
    journal.write_bytes(data)
    for turn in range(2):
        with TotalityFolder(tmp_path, clock.now_ns) as folder:
            assert ids(folder.store) >= {f"s{at}" for at in range(20) if at != 7}
            assert len(folder.notices) == 1 - turn
            if turn == 0:
                assert "1 changes are lost, 19 are restored" in folder.notices[0]
                put(folder.store, "later")
            else:
                assert "later" in ids(folder.store)
    assert journal.with_name(f"{JOURNAL_NAME}.damaged").exists()


def test_two_processes_cannot_have_one_folder(tmp_path: Path) -> None:
    with (
        TotalityFolder(tmp_path, lambda: 0),
        pytest.raises(InputError, match="in use by another process"),
    ):
        TotalityFolder(tmp_path, lambda: 0)
    TotalityFolder(tmp_path, lambda: 0).close()


def test_the_folder_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "PERSIST_AFTER_BYTES", 10_000)
    with TotalityFolder(tmp_path, lambda: 0) as folder:
        for at in range(200):
            put(folder.store, "a", at)
            folder.persist_if_long()
        names = sorted(path.name for path in tmp_path.glob("*.snapshot.json"))
        assert len(names) == persistence.NUM_SNAPSHOTS
        assert folder.saved(folder.persist().snapshot_id).schemes[0].version == 200
        with pytest.raises(UnknownId):
            folder.saved("nothing")


def test_a_disk_that_does_not_confirm_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sage.memory.stores.journal import Journal

    blocked = threading.Event()
    attempt = Journal._attempt
    monkeypatch.setattr(Journal, "_attempt", lambda *args: blocked.wait(10) and attempt(*args))
    folder = TotalityFolder(tmp_path, lambda: 0, timeout_secs=0.05)
    with pytest.raises(NotDurable, match="applied, but not on the disk"):
        put(folder.store, "a")
    blocked.set()
    folder.close()
    monkeypatch.undo()
    with TotalityFolder(tmp_path, lambda: 0) as again:
        assert ids(again.store) == {"a"}


def test_the_journal_of_many_short_sessions_is_shortened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persistence, "PERSIST_AFTER_BYTES", 2000)
    shortened = []
    for session in range(8):
        with TotalityFolder(tmp_path, lambda: 0) as folder:
            put(folder.store, f"s{session}")
            shortened.append(folder.persist_if_long())
    assert 1 <= sum(shortened) < 8
    with TotalityFolder(tmp_path, lambda: 0) as folder:
        assert ids(folder.store) == {f"s{session}" for session in range(8)}


def test_a_store_of_a_run_is_shortened_as_one_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persistence, "PERSIST_AFTER_BYTES", 2000)
    context = SensorContext(clock=ManualClock(), epoch_ns=0, base_dir=tmp_path)
    with open_totality(TotalityPlace(store=Path("store")), context) as shared:
        for number in range(20):
            shared.value.totality.write(WriteRequest(schemes=(SchemeDraft(id=f"s{number}", label="s"),)))
    assert list((tmp_path / "store").glob("*.snapshot.json"))
    with open_totality(TotalityPlace(store=Path("store")), context) as shared:
        assert len(shared.value.totality.read(ReadQuery()).schemes) == 20


@pytest.mark.parametrize("url", ["http://127.0.0.1:none", "http://127.0.0.1:99999", "http://[::1"])
def test_an_address_that_is_none_is_one_line(url: str) -> None:
    with pytest.raises(InputError, match="give http://HOST:PORT"):
        TotalityClient(url)


def test_a_token_file_of_other_bytes_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    place = TotalityPlace(url="http://127.0.0.1:1", token_file=tmp_path / "token")
    with pytest.raises(InputError, match="not ASCII text"):
        open_totality(place, SensorContext(clock=ManualClock(), epoch_ns=0))
