"""What a run keeps: snapshots by their schedule, the journal between them, and both after a kill -9."""

from __future__ import annotations

import errno
import json
import re
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sage.app.config.sage_config import build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.session import snapshot_keeper
from sage.app.session.build import Run, build_run
from sage.app.session.snapshot_keeper import SnapshotKeeper
from sage.mailbox.clock import ManualClock
from sage.memory.stores import journal, journal_file
from sage.memory.stores.journal_file import JournalUnusable, open_journal, read_journal, restart_journal
from sage.runtime.report import Event, SleepOutcome, SleepReport
from sage.runtime.snapshot import MODEL, snapshot_key

WALL_NS = 1_800_000_000 * 10**9
WAIT_SECS = 60.0
SETTINGS = {
    "tick": {"rate_hz": 20, "rest_rate_hz": 20},
    "model": {"hidden_size": 8, "num_heads": 1, "H_cycles": 1, "L_cycles": 1},
    "practice": {"every_ticks": 16, "batch_size": 2, "window_ticks": 4, "burn_in_ticks": 1},
    "memory": {"num_experiences": 32, "num_recall": 32, "num_transitions": 64, "write_rate": 0.5},
    "sleep": {"enabled": False, "examined_fraction": 0.1, "block_secs": 0.3},
    "budget": {"segments": 1},
    "sensors": [
        {"kind": "synthetic", "name": name, "shape": [2], "rate_hz": 20, "seed": seed}
        for seed, name in enumerate("ab")
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A run with its keeper. outcome: of loading."""

    run: Run
    keeper: SnapshotKeeper
    outcome: str
    events: list[Event]

    def tick(self, num_ticks: int) -> None:
        self.run.loop.run(num_ticks=num_ticks)

    def settle(self) -> None:
        """Until the journal and a snapshot in progress are on the disk."""
        if self.keeper._writing is not None:
            self.keeper._writing.join()
        own = self.keeper._journal._journal
        assert own.wait(own.last_sequence, WAIT_SECS)

    @property
    def stores(self) -> dict[str, list[int]]:
        """Ids in each store."""
        return {
            name: sorted(store.origins.ids[: len(store)].tolist())
            for name, store in self.run.loop.memory_writer.memory.stores.items()
            if name != "examination"
        }

    @property
    def weights(self) -> np.ndarray:
        model = self.run.loop.reasoner.model
        return np.concatenate([weight.detach().numpy().ravel() for weight in model.parameters()])

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def on_tick(self, report: object) -> None: ...

    def on_sleep(self, report: object) -> None: ...


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Life]]:
    """A run of two synthetic sensors in a folder. since_secs: its start on the wall clock."""
    lives: list[Life] = []

    def started(
        home: Path = tmp_path / "state",
        *,
        since_secs: float = 0.0,
        first_secs: float = 2.0,
        opening_secs: float = 0.0,
    ) -> Life:
        clock = ManualClock()
        config = build_config(YamlDocument(data=SETTINGS, source="test"))
        run = build_run(config, clock, directory=tmp_path / "sleep")
        keeper = SnapshotKeeper(
            home / "mind",
            clock,
            journal_home=home / "journal",
            first_secs=first_secs,
            wall_ns=lambda: WALL_NS + int(since_secs * 1e9) + clock.now_ns(),
        )
        life = Life(run=run, keeper=keeper, outcome=keeper.attach(run.loop), events=[])
        lives.append(life)
        clock.wait_until(clock.now_ns() + int(opening_secs * 1e9))
        run.open()
        keeper.begin()
        run.loop.observe(keeper, life)
        return life

    yield started
    for life in lives:
        life.keeper.close()
        life.run.close()


def tick_until(life: Life, is_reached: Callable[[], bool]) -> None:
    for _ in range(400):
        if is_reached():
            return
        life.tick(1)
    pytest.fail("not reached in 400 ticks")


def killed(life: Life, tmp_path: Path) -> Path:
    """A copy of the state as a kill -9 leaves it now."""
    life.settle()
    copy = tmp_path / "killed"
    shutil.copytree(tmp_path / "state", copy)
    return copy


def journal_of(life: Life, home: Path) -> Path:
    return home / "journal" / f"{snapshot_key(life.run.loop)}.sqlite"


def test_a_kill_before_the_first_snapshot_loses_no_memory(begin, tmp_path: Path) -> None:
    life = begin(first_secs=100)
    life.tick(110)
    copy = killed(life, tmp_path)
    assert not (copy / "mind").exists()
    later = begin(copy, since_secs=60)
    assert later.stores == life.stores
    assert sum(map(len, life.stores.values())) > 5
    assert "no snapshot found, starting fresh; " in later.outcome
    newest = r"later changes of memory from the journal, the newest of 2027-01-15 08:00:0[45] UTC"
    assert re.search(newest, later.outcome)


def test_a_kill_later_loses_no_memory_and_the_weights_since_the_snapshot(begin, tmp_path: Path) -> None:
    life = begin()
    life.tick(40)
    assert life.keeper.num_written == 0
    life.tick(2)
    life.settle()
    assert life.keeper.num_written == 1
    weights = life.weights
    life.tick(60)
    assert not np.array_equal(life.weights, weights)
    copy = killed(life, tmp_path)
    later = begin(copy, since_secs=60)
    assert "weights version 0, saved 2027-01-15 08:00:02 UTC; " in later.outcome
    assert np.array_equal(later.weights, weights)
    assert later.stores == life.stores
    times = later.run.loop.memory_writer.memory.replay.times_ns
    assert -60e9 <= times.min() <= times.max() < -55e9


def test_a_run_of_a_run_of_a_run_continues(begin, tmp_path: Path) -> None:
    """Each is killed before its first snapshot: the rows of all are applied, each with its own start."""
    home = tmp_path / "state"
    for generation in range(3):
        life = begin(home, since_secs=100 * generation, first_secs=99)
        life.tick(100)
        life.settle()
        copy = tmp_path / f"{generation}"
        shutil.copytree(home, copy)
        home = copy
    later = begin(home, since_secs=300)
    assert later.stores == life.stores
    times = later.run.loop.memory_writer.memory.replay.times_ns / 1e9
    assert set((times // 100).astype(int).tolist()) == {-3, -2, -1}
    assert -300 < times.min() < times.max() < -90


def walls(life: Life, since_secs: float) -> np.ndarray:
    """Of the memories in the replay store, since the start of the first run, ns."""
    loop = life.run.loop
    return np.sort(loop.memory_writer.memory.replay.times_ns + loop.epoch_ns + int(since_secs * 1e9))


def test_the_wall_time_of_a_memory_does_not_depend_on_how_long_sensors_take_to_open(
    begin, tmp_path: Path
) -> None:
    life = begin(first_secs=1)
    life.tick(100)
    life.settle()
    stored = walls(life, 0)
    home = killed(life, tmp_path)
    for generation in range(1, 3):
        later = begin(home, since_secs=60 * generation, first_secs=0.05, opening_secs=5)
        assert np.array_equal(walls(later, 60 * generation), stored)
        later.tick(4)
        later.settle()
        assert later.keeper.num_written
        stored = walls(later, 60 * generation)
        home = killed_copy(later, home, tmp_path / f"{generation}")


def test_snapshots_follow_their_schedule(begin) -> None:
    life = begin()
    life.tick(1)
    written = []
    for _ in range(72):
        life.tick(4)
        life.settle()
        written.append(life.keeper.num_written)
    changes = [index * 0.2 for index in range(1, 72) if written[index] > written[index - 1]]
    assert changes == pytest.approx([2, 6, 14], abs=0.5)
    report = SleepReport(
        outcome=SleepOutcome.ACCEPTED, reason="", tick=0, num_replayed=1, num_examined=1, num_steps=1
    )
    life.keeper.on_sleep(report)
    life.tick(2)
    life.settle()
    assert life.keeper.num_written == 4


def test_a_snapshot_is_freed_before_memory_goes_back_to_the_system(
    begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[weakref.ref] = []
    is_freed: list[bool] = []
    capture = snapshot_keeper.capture_snapshot

    def noted(*arguments: object) -> object:
        snapshot = capture(*arguments)
        taken.append(weakref.ref(snapshot.model))
        return snapshot

    monkeypatch.setattr(snapshot_keeper, "capture_snapshot", noted)
    monkeypatch.setattr(snapshot_keeper, "give_back_freed", lambda: is_freed.append(taken[-1]() is None))
    life = begin()
    for _ in range(2):
        life.tick(1)
        life.keeper.begin_now()
        life.settle()
    assert is_freed == [True, True]


def test_the_journal_holds_what_two_snapshots_need(begin, tmp_path: Path) -> None:
    """Its bytes are bounded; with a damaged snapshot the one before it and the journal lose no memory."""
    life = begin()
    life.tick(170)
    copy = killed(life, tmp_path)
    assert life.keeper.num_written == 2
    first = read_journal(journal_of(life, copy)).rows[0].sequence
    assert first > 1
    (copy / "mind" / snapshot_key(life.run.loop) / MODEL).write_bytes(b"")
    later = begin(copy, since_secs=200)
    assert "could not be read" in later.outcome
    assert "continued from tick" in later.outcome
    assert later.stores == life.stores


def test_a_journal_that_grows_brings_a_snapshot_forward(begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_keeper, "MAX_JOURNAL_BYTES", 2_000)
    life = begin(first_secs=100)
    life.tick(110)
    life.settle()
    assert life.keeper.num_written > 0


def test_memories_after_a_lost_row_survive_a_kill_before_the_first_snapshot(begin, tmp_path: Path) -> None:
    """A lost row moves memories to other slots: a snapshot states them before new rows do."""
    life = begin(first_secs=100)
    life.tick(110)
    copy = killed(life, tmp_path)
    path = journal_of(life, copy)
    rows = read_journal(path).rows
    places = {(row.store, row.slot) for row in rows}
    store = next(name for name in ("recall", "replay") if (name, 1) in places)
    restart_journal(path, tuple(row for row in rows if (row.store, row.slot) != (store, 0)))
    later = begin(copy, since_secs=60, first_secs=100, opening_secs=5)
    assert later.keeper.num_written == 1
    assert set(walls(later, 60)) <= set(walls(life, 0))
    before = later.stores
    later.tick(60)
    assert later.stores != before
    assert later.keeper.num_written == 1
    again = begin(
        killed_copy(later, copy, tmp_path / "again"), since_secs=120, first_secs=100, opening_secs=5
    )
    assert again.stores == later.stores
    assert np.array_equal(walls(again, 120), walls(later, 60))
    assert again.keeper.num_written == 0


def test_damaged_rows_are_counted_and_the_file_is_set_aside(begin, tmp_path: Path) -> None:
    life = begin(first_secs=100)
    life.tick(110)
    copy = killed(life, tmp_path)
    path = journal_of(life, copy)
    open_journal(path).close()  # the log becomes part of the file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    later = begin(copy, since_secs=60)
    assert "1 rows of the journal are damaged and left out" in later.outcome
    assert path.with_name(f"{path.name}.damaged").exists()
    later.tick(60)
    again = begin(killed_copy(later, copy, tmp_path / "again"), since_secs=120)
    assert again.stores == later.stores


def test_a_damaged_journal_on_a_full_disk_keeps_its_rows_and_the_run_goes_on(
    begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = begin(first_secs=100)
    life.tick(110)
    copy = killed(life, tmp_path)
    path = journal_of(life, copy)
    log = path.with_name(f"{path.name}-wal")
    content = bytearray(log.read_bytes())
    content[32 + 17] ^= 1  # of a frame's header: SQLite drops all behind it
    log.write_bytes(content)

    def full(*_: object, **__: object) -> None:
        raise journal_file.JournalNotOpened("no space")

    monkeypatch.setattr(journal_file, "restart_journal", full)
    later = begin(copy, since_secs=60, first_secs=1)
    newest = later.keeper.last_sequence
    assert newest == life.keeper.last_sequence
    assert later.stores == life.stores
    own = later.keeper._journal._journal
    own._retry_secs = 0.001
    later.tick(40)
    assert "memory journal not written: no space" in later.events[-1].message
    assert later.keeper.last_sequence > newest
    later.keeper._writing.join()
    (about,) = (copy / "mind").glob("*/mind.json")
    assert json.loads(about.read_text())["journal"] >= newest
    monkeypatch.undo()
    later.settle()
    last = begin(killed_copy(later, copy, tmp_path / "again"), since_secs=120)
    assert last.stores == later.stores


def test_a_journal_of_another_program_is_refused(begin, tmp_path: Path) -> None:
    life = begin()
    path = journal_of(life, tmp_path / "other")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    import sqlite3

    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE letters (text TEXT)")
    connection.close()
    with pytest.raises(JournalUnusable, match="not a memory journal"):
        begin(tmp_path / "other")


def test_a_full_disk_is_an_event_and_the_loop_continues(
    begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = begin()
    life.tick(44)
    life.settle()
    assert life.keeper.num_written == 1

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(snapshot_keeper, "write_snapshot", full)
    monkeypatch.setattr(journal.Journal, "_commit", full)
    monkeypatch.setattr(life.keeper._journal._journal, "_retry_secs", 0.001)
    life.tick(100)
    life.keeper._writing.join()
    tick_until(life, lambda: bool(life.keeper.journal_problem))
    life.tick(2)
    text = life.events[-1].message
    assert life.events[-1].kind == "storage"
    assert "snapshot not written: [Errno 28] No space left on device" in text
    assert "memory journal not written: " in text
    monkeypatch.undo()
    life.keeper._next_ns = 0
    life.tick(1)
    life.settle()
    tick_until(life, lambda: life.events[-1].message == "snapshot and memory journal are written again")
    assert life.keeper.num_written == 2
    later = begin(killed(life, tmp_path), since_secs=100)
    assert later.stores == life.stores


def test_no_memory_and_no_thread_for_a_snapshot_is_tried_again(
    begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instrument that raises is removed: without snapshots for the rest of the session."""
    life = begin()
    for place, name, error in (
        (snapshot_keeper, "capture_snapshot", MemoryError()),
        (snapshot_keeper, "write_snapshot", MemoryError()),
        (threading.Thread, "start", RuntimeError("can't start new thread")),
    ):

        def refuse(*_: object, error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(place, name, refuse)
            life.tick(1)
            life.keeper._next_ns = 0
            life.tick(1)
            life.settle()
        assert life.keeper.problem == (str(error) or "not enough memory")
        life.keeper._next_ns = 0
        life.tick(1)
        life.settle()
        assert life.keeper.problem == ""
    assert life.keeper.num_written == 3


def test_a_paused_loop_writes_after_a_failure_without_another_tick(
    begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = begin()
    life.tick(5)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(snapshot_keeper, "write_snapshot", full)
        life.keeper.begin_now().join()
    assert (life.keeper.num_written, "No space" in life.keeper.problem) == (0, True)
    life.keeper.begin_now().join()
    assert (life.keeper.num_written, life.keeper.problem) == (1, "")
    assert life.keeper.begin_now() is None, "nothing has changed since"


def test_without_a_writable_folder_the_run_goes_on_and_an_event_names_the_journal(
    begin, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "journal").write_text("a file where the folder should be")
    life = begin()
    life.tick(5)
    assert "memory journal not written: " in life.events[-1].message


def test_a_snapshot_of_today_without_a_journal_is_continued(begin, tmp_path: Path) -> None:
    """Migration: the state directory of a version that had no journal and no ids of memories."""
    from sage.durable import Contents, digest_of, read_checked, write_checked
    from sage.runtime.snapshot import MEMORY
    from sage.runtime.snapshot_about import ABOUT

    life = begin()
    life.tick(110)
    life.settle()
    life.keeper._next_ns = 0
    life.tick(1)
    copy = killed(life, tmp_path)
    shutil.rmtree(copy / "journal")
    folder = copy / "mind" / snapshot_key(life.run.loop)
    contents = read_checked(folder / MEMORY, schema="memory/1")
    new = ("ids", "first_ids", "episodes", "first_episodes", "first_times_ns")
    arrays = {name: array for name, array in contents.arrays.items() if name.split("/")[1] not in new}
    assert len(arrays) < len(contents.arrays)
    for each in contents.scalars.values():
        del each["scalars"]["newest_id"], each["scalars"]["newest_episode"]
    write_checked(folder / MEMORY, Contents(arrays=arrays, scalars=contents.scalars), schema="memory/1")
    about = json.loads((folder / ABOUT).read_text())
    about = {name: about[name] for name in ("format", "digests", "tick", "weights_version")}
    about["digests"][MEMORY] = digest_of((folder / MEMORY).read_bytes())
    (folder / ABOUT).write_text(json.dumps(about))
    later = begin(copy, since_secs=60)
    assert later.outcome.startswith("continued from tick 111,")
    memory = later.run.loop.memory_writer.memory
    assert len(memory.replay) > 0
    assert memory.replay.origins.newest_id == 0
    later.tick(110)
    assert memory.replay.origins.newest_id > 0
    again = begin(killed_copy(later, copy, tmp_path / "again"), since_secs=120)
    assert again.stores == later.stores


def killed_copy(life: Life, home: Path, copy: Path) -> Path:
    life.settle()
    shutil.copytree(home, copy)
    return copy
