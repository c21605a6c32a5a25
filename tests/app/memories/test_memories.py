"""`sage memory`: every memory is shown, found and exported, and a forgotten one is in no file any more."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgpack
import numpy as np
import pytest
import torch

from sage.app.cli.main import invoke
from sage.app.config.state_dir import locked
from sage.app.memories.archive import MEMORY, open_archive, snapshot_tables
from sage.app.memories.export import EXPORTED, records
from sage.app.memories.terms import parse_time
from sage.app.terminal.errors import UserError
from sage.durable import digest_of
from sage.memory.stores.hmemory import Experience, HMemory, StoreChange
from sage.memory.stores.journal import Journal
from sage.memory.stores.journal_file import read_journal
from sage.memory.stores.journal_row import JournalRow
from sage.memory.stores.recall import RecallStore
from sage.memory.stores.snapshot import save_states
from sage.memory.windows.window import Window, WindowShape
from sage.runtime.snapshot_about import ABOUT, read_about, write_about

SECOND_NS = 10**9
EPOCH_NS = 1_800_000_000 * SECOND_NS
SHAPE = WindowShape(num_channels=3, num_sources=2, num_actions=1, carry_shape=(2, 4), length=4)
#: A number that only the memory of this second has.
MARK = 7000.0


def window(mark: float, start_ns: int) -> Window:
    def full(*size: int) -> torch.Tensor:
        return torch.full((1, SHAPE.length + 1, *size), mark)

    carry = torch.full((1, 2, 4), mark)
    return Window(
        values=full(3), deltas=full(3), skip=full(3), cross=full(3), present=full(2) > 0, fresh=full(2) > 0,
        age_secs=full(2), weight=full(2), action=full(1), reward=full(), z_H=carry, z_L=carry,
        start_tick=torch.tensor([int(mark)]), start_time_ns=torch.tensor([start_ns]),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A state directory: a snapshot after second 30 (unless without), a journal of the seconds to 60."""

    home: Path
    memory: HMemory

    @property
    def folder(self) -> Path:
        return self.home / "mind" / "key"

    @property
    def journal(self) -> Path:
        return self.home / "journal" / "key.sqlite"

    def files_with(self, mark: float) -> list[str]:
        """The files that hold a window of this number."""
        pattern = np.full(12, mark, np.float32).tobytes()
        return [path.name for path in self.home.rglob("*") if path.is_file() and pattern in path.read_bytes()]

    def content(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.home.rglob("*") if path.is_file()}


def live(memory: HMemory, seconds: range) -> None:
    for second in seconds:
        generator = np.random.default_rng(second)
        memory.remember(
            Experience(
                window=window(MARK + second, second * SECOND_NS),
                key=generator.standard_normal(6),
                value=generator.standard_normal(2),
                surprise=0.9,
                salience=0.5 + second / 200,
                trust=0.8,
                context=second % 3,
                time_ns=second * SECOND_NS,
            )
        )


def make(home: Path, *, has_snapshot: bool = True, is_killed: bool = False) -> State:
    """is_killed: the journal has its write-ahead log, as after a kill -9."""
    memory = HMemory.build(
        SHAPE, RecallStore(64, 6, 2), num_experiences=64, examined_fraction=0.2, block_secs=5.0, seed=1
    )
    state = State(home=home, memory=memory)
    journal = Journal(state.journal)
    memory.recorder = lambda change: _append(journal, change)
    live(memory, range(30))
    if has_snapshot:
        state.folder.mkdir(parents=True)
        save_states(state.folder / MEMORY, {name: each.state() for name, each in memory.stores.items()})
        about = {
            "format": 2, "tick": 600, "weights_version": 3, "saved_ns": EPOCH_NS + 30 * SECOND_NS,
            "epoch_ns": EPOCH_NS, "journal": journal.last_sequence,
            "digests": {MEMORY: digest_of((state.folder / MEMORY).read_bytes())},
        }  # fmt: skip
        (state.folder / ABOUT).write_text(json.dumps(about))
        (state.folder / "model.safetensors").write_bytes(b"weights")
    live(memory, range(30, 60))
    assert journal.wait(journal.last_sequence, 60.0)
    files = {path: path.read_bytes() for path in state.journal.parent.iterdir()}
    journal.close()
    for path, content in files.items():
        if is_killed and not path.name.endswith("-shm"):
            path.write_bytes(content)
    return state


def _append(journal: Journal, change: StoreChange, epoch_ns: int = EPOCH_NS) -> None:
    journal.append(
        JournalRow(
            store=change.store, slot=change.slot, id=change.origin.id, first_id=change.first_id,
            episode=change.origin.episode, first_episode=change.origin.first_episode,
            context=change.context, epoch_ns=epoch_ns, time_ns=change.time_ns, salience=change.salience,
            trust=change.trust, scalars=change.scalars, arrays=change.arrays,
        )
    )  # fmt: skip


@pytest.fixture(params=["snapshot and journal", "journal alone"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> State:
    return make(tmp_path / "state", has_snapshot=request.param != "journal alone")


def ask(state: State, capsys: pytest.CaptureFixture[str], *arguments: str):
    assert invoke(["memory", *arguments, "--state-dir", str(state.home), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def counts(state: State) -> dict[str, int]:
    with open_archive(state.home) as archive:
        return {table.name: len(table.slots) for _, table in archive.tables()}


def test_inspect_counts_what_the_run_has(state: State, capsys) -> None:
    (mind,) = ask(state, capsys, "inspect")["minds"]
    by_store = {each["store"]: each for each in mind["stores"]}
    for name, store in state.memory.stores.items():
        assert by_store[name]["num_memories"] == len(store), name
    recall = by_store["recall"]
    assert recall["num_memories"] == 60
    assert recall["contexts"] == {"0": 20, "1": 20, "2": 20}
    assert (recall["oldest_ns"], recall["newest_ns"]) == (EPOCH_NS, EPOCH_NS + 59 * SECOND_NS)
    assert recall["salience"]["0.5"] == pytest.approx(0.5 + 29.5 / 200)
    assert recall["num_episodes"] == 12


def test_inspect_prints_the_same(state: State, capsys) -> None:
    assert invoke(["memory", "inspect", "--state-dir", str(state.home)]) == 0
    printed = capsys.readouterr().out
    assert "recall" in printed
    assert "2027-01-15 08:00:59" in printed
    assert ("no snapshot" in printed) == (not state.folder.exists())


def test_search_by_conditions_time_and_similarity(state: State, capsys) -> None:
    newest = ask(state, capsys, "search", "store=recall", "--limit", "3")
    assert [hit["fields"]["id"] for hit in newest] == [60, 59, 58]
    near = ask(state, capsys, "search", "time=2027-01-15T08:00:20", "store=recall", "--limit", "1")
    assert near[0]["fields"]["id"] == 21
    assert near[0]["distance_secs"] == 0
    some = ask(state, capsys, "search", "context=1", "salience>0.7", "store=recall", "--limit", "99")
    assert [hit["fields"]["id"] for hit in some] == [59, 56, 53, 50, 47, 44]
    similar = ask(state, capsys, "search", "id=7", "store=recall", "--limit", "60")
    assert similar[0]["fields"]["id"] == 7
    unit = np.random.default_rng(6).standard_normal(6)
    other = np.random.default_rng(similar[1]["fields"]["id"] - 1).standard_normal(6)
    cosine = unit.dot(other) / np.linalg.norm(unit) / np.linalg.norm(other)
    assert similar[1]["similarity"] == pytest.approx(cosine, abs=1e-5)
    assert [hit["similarity"] for hit in similar] == sorted(
        (hit["similarity"] for hit in similar), reverse=True
    )


def test_the_formats_hold_the_same_records(state: State, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    paths = [tmp_path / f"memories.{suffix}" for suffix in ("jsonl", "msgpack", "parquet")]
    for path in paths:
        assert invoke(["memory", "export", str(path), "--state-dir", str(state.home)]) == 0
    with open_archive(state.home) as archive:
        expected = list(records(archive))
    assert len(expected) == sum(counts(state).values()) > 90
    lines = [json.loads(line) for line in paths[0].read_text().splitlines()]
    packed = list(msgpack.Unpacker(paths[1].open("rb")))
    table = pq.read_table(paths[2])
    assert lines[0]["schema"] == packed[0]["schema"] == table.schema.metadata[b"schema"].decode()
    assert lines[0]["fields"] == packed[0]["fields"] == table.schema.names == [*EXPORTED, "arrays"]
    for (fields, arrays), line, record, row in zip(
        expected, lines[1:], packed[1:], table.to_pylist(), strict=True
    ):
        for found in (line, record, row):
            assert {name: found[name] for name in EXPORTED} == fields
        row_arrays = dict(row["arrays"])
        for name, array in arrays.items():
            dtype, shape, data = record["arrays"][name]
            np.testing.assert_array_equal(np.frombuffer(data, dtype).reshape(shape), array)
            np.testing.assert_array_equal(
                np.frombuffer(row_arrays[name]["data"], row_arrays[name]["dtype"]).reshape(shape), array
            )
            values = [np.nan if value is None else value for value in line["arrays"][name]["values"]]
            if np.isfinite(array).all():
                np.testing.assert_array_equal(np.array(values, array.dtype).reshape(shape), array)


def test_a_forgotten_episode_is_in_no_file(state: State, capsys) -> None:
    """One from before the snapshot, which has journal rows too, and one from after it."""
    replayed = (state.memory.replay.times_ns // SECOND_NS).tolist()
    seconds = (min(replayed), max(replayed))
    assert seconds[0] < 30 < seconds[1]
    if state.folder.exists():
        shutil.copytree(state.folder, state.folder.with_name("key.old"))
        shutil.copytree(state.folder, state.folder.with_name("key.damaged"))
    (state.home / "sleep" / "1").mkdir(parents=True)
    shutil.copy(state.journal, state.home / "sleep" / "1" / "job")
    before = counts(state)
    for second in seconds:
        episode = second // 5 + 1
        assert state.files_with(MARK + second), second
        planned = ask(state, capsys, "forget", f"episode={episode}", "--dry-run")
        assert counts(state) == before
        done = ask(state, capsys, "forget", f"episode={episode}")
        assert {**planned, "is_dry": False} == done
        assert done["num_memories"]["recall"] == 5
        after = counts(state)
        assert {name: before[name] - after[name] for name in after} == done["num_memories"]
        before = after
        assert not state.files_with(MARK + second)
        assert ask(state, capsys, "search", f"episode={episode}") == []
    assert not list(state.home.rglob("*.damaged"))
    assert any(state.files_with(MARK + second) for second in replayed)
    assert not (state.home / "sleep").exists()


def test_every_older_file_of_a_forgotten_episode_is_deleted(tmp_path: Path, capsys) -> None:
    """The newest state does not have the episode any more: the files beside it do."""
    state = make(tmp_path / "state")
    second = int(min(state.memory.replay.times_ns) // SECOND_NS)
    terms = [f"episode={second // 5 + 1}"]
    minds, journals = state.folder.parent, state.journal.parent
    shutil.copytree(minds, tmp_path / "minds")
    shutil.copytree(journals, tmp_path / "journals")
    ask(state, capsys, "forget", *terms)
    shutil.copytree(state.folder, minds / "key.2.damaged")  # has no such memory
    shutil.copy(state.journal, journals / "key.sqlite.2.damaged")  # no row of it can be read
    for name in ("key.old", "key.damaged", "other.old.damaged", ".key.partial"):
        shutil.copytree(tmp_path / "minds" / "key", minds / name)
    (minds / "key.3.damaged").mkdir()  # cannot be read
    for name in ("key.sqlite.damaged", ".key.sqlite.partial"):
        shutil.copy(tmp_path / "journals" / "key.sqlite", journals / name)
    (journals / ".journal-x").mkdir()
    (state.home / "sleep" / "1").mkdir(parents=True)
    shutil.copy(tmp_path / "journals" / "key.sqlite", state.home / "sleep" / "1" / "replay.safetensors")
    assert len(state.files_with(MARK + second)) == 7
    planned = ask(state, capsys, "forget", *terms, "--dry-run")
    done = ask(state, capsys, "forget", *terms)
    assert {**planned, "is_dry": False} == done
    assert set(done["num_memories"].values()) == {0}
    assert not state.files_with(MARK + second)
    assert {each.name for each in minds.iterdir()} == {"key", "key.2.damaged"}
    assert {each.name for each in journals.iterdir()} == {"key.sqlite"}
    assert not (state.home / "sleep").exists()
    assert len(done["folders"]) == 10


def test_a_journal_whose_replacement_was_cut_short_is_read_and_kept(state: State, capsys) -> None:
    before = counts(state)
    state.journal.replace(state.journal.with_name(f".{state.journal.name}.repaired"))
    assert counts(state) == before
    assert ask(state, capsys, "forget", "store=recall", "id=60")["num_memories"]["recall"] == 1
    assert counts(state) == before | {"recall": before["recall"] - 1}


def test_a_memory_that_a_later_row_has_replaced_leaves_the_snapshot_too(tmp_path: Path, capsys) -> None:
    state = make(tmp_path / "state")
    newest = next(row for row in reversed(read_journal(state.journal).rows) if row.store == "recall")
    journal = Journal(state.journal)
    fields = {name: getattr(newest, name) for name in JournalRow.__slots__}
    journal.append(JournalRow(**{**fields, "slot": 5, "id": 600, "first_id": 600}))
    journal.close()
    assert [6 in ids for ids in _recall_ids(state)] == [True, False]
    done = ask(state, capsys, "forget", "store=recall", "id=6")
    assert (done["num_memories"]["recall"], done["num_overwritten"]) == (0, 1)
    assert [6 in ids for ids in _recall_ids(state)] == [False, False]


def _recall_ids(state: State) -> tuple[list[int], list[int]]:
    """In the snapshot's file, and with the journal."""
    with open_archive(state.home) as archive:
        found = [table for _, table in archive.tables() if table.name == "recall"]
    stored = [table for table in snapshot_tables(state.folder) if table.name == "recall"]
    return tuple(table.columns()["id"].tolist() for table in (*stored, *found))


def test_puzzles_that_cannot_be_read_stop_it_before_anything_is_changed(tmp_path: Path, capsys) -> None:
    state = make(tmp_path / "state")
    (state.home / "sleep").mkdir()
    (state.home / "solving" / "sudoku").mkdir(parents=True)
    (state.home / "solving" / "sudoku" / "memory.safetensors").write_bytes(b"damaged")
    (state.home / "lock").touch()
    before = state.content()
    command = ["memory", "forget", "episode=1", "--state-dir", str(state.home)]
    assert invoke(command) == 2
    assert "its puzzles cannot be read" in capsys.readouterr().err
    assert state.content() == before
    shutil.rmtree(state.home / "solving")
    assert invoke(command) == 0
    assert not (state.home / "sleep").exists()


def test_a_run_continues_from_what_is_left(state: State, capsys) -> None:
    ask(state, capsys, "forget", "time>=2027-01-15T08:00:10", "time<=2027-01-15T08:00:19")
    with open_archive(state.home) as archive:
        (mind,) = archive.minds
        recall = next(table for table in mind.tables if table.name == "recall")
        ids = recall.columns()["id"].tolist()
    assert sorted(ids) == [*range(1, 11), *range(21, 61)]
    assert mind.contents.num_damaged == 0
    newest = max(mind.contents.newest_sequence, int(mind.about.get("journal", 0)))
    journal = Journal(state.journal, start_after=newest)
    assert journal.last_sequence == newest >= 60
    journal.close()
    assert read_journal(state.journal).num_damaged == 0
    if state.folder.exists():
        memory = HMemory.build(
            SHAPE, RecallStore(64, 6, 2), num_experiences=64, examined_fraction=0.2, block_secs=5.0, seed=1
        )
        memory.load(state.folder / MEMORY, elapsed_ns=100 * SECOND_NS)
        assert len(memory.recall_store) == 50
        live(memory, range(60))
        assert (state.folder / "model.safetensors").read_bytes() == b"weights"


def test_a_merged_memory_is_forgotten_with_each_of_its_parts(tmp_path: Path, capsys) -> None:
    memory = HMemory.build(
        SHAPE, RecallStore(64, 6, 2), num_experiences=64, examined_fraction=0.2, block_secs=5.0, seed=1
    )
    state = State(home=tmp_path, memory=memory)
    journal = Journal(state.journal)
    memory.recorder = lambda change: _append(journal, change)
    for second in (1, 7, 13):
        memory.remember(
            Experience(
                window=None, key=np.ones(6), value=np.zeros(2), surprise=0.5, salience=0.5, trust=0.5,
                context=0, time_ns=second * SECOND_NS,
            )
        )  # fmt: skip
    journal.close()
    assert len(memory.recall_store) == 1
    assert ask(state, capsys, "forget", "episode=2")["num_memories"] == {"recall": 1}
    assert ask(state, capsys, "search") == []


def test_without_a_match_nothing_is_written(state: State, capsys) -> None:
    before = {path: path.read_bytes() for path in state.home.rglob("*") if path.is_file()}
    done = ask(state, capsys, "forget", "episode=999")
    assert set(done["num_memories"].values()) == {0}
    after = {path: path.read_bytes() for path in state.home.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before


def test_commands_that_only_read_change_no_file(tmp_path: Path, capsys) -> None:
    """After a kill, with a damaged frame in the journal's log: SQLite would delete all behind it."""
    state = make(tmp_path / "state", is_killed=True)
    log = state.journal.with_name(f"{state.journal.name}-wal")
    content = bytearray(log.read_bytes())
    content[32 + 17] ^= 1
    log.write_bytes(content)
    (state.home / "lock").touch()
    before = state.content()
    commands = (
        ["memory", "inspect"],
        ["memory", "search", "store=recall"],
        ["memory", "export", str(tmp_path / "memories.jsonl")],
        ["memory", "forget", "episode=12", "--dry-run"],
    )
    for command in commands:
        assert invoke([*command, "--state-dir", str(state.home)]) == 0
    assert invoke(["entities", "show", str(state.home)]) == 0
    assert state.content() == before
    assert counts(state)["recall"] == 60


@pytest.mark.parametrize("name", ["key", "key.old", "key.damaged"])
def test_a_snapshot_of_a_newer_version_is_one_line_and_is_not_forgotten(
    tmp_path: Path, capsys, name: str
) -> None:
    state = make(tmp_path / "state")
    if name != "key":
        shutil.copytree(state.folder, state.folder.with_name(name))
    folder = state.folder.with_name(name)
    write_about(folder, read_about(folder) | {"format": 3})
    if name == "key.old":
        (state.folder / ABOUT).unlink()
    (state.home / "lock").touch()
    before = state.content()
    for command in (["forget", "episode=1"], ["inspect"]):
        code = invoke(["memory", *command, "--state-dir", str(state.home)])
        if command == ["inspect"] and name == "key.damaged":
            assert code == 0
            continue
        assert code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "format 3, this version of SAGE reads up to 2: upgrade SAGE" in line
        assert state.content() == before


def test_a_damaged_snapshot_is_named_and_the_one_before_it_is_read(tmp_path: Path, capsys) -> None:
    state = make(tmp_path / "state")
    shutil.copytree(state.folder, state.folder.with_name("key.old"))
    content = bytearray((state.folder / MEMORY).read_bytes())
    content[len(content) // 2] ^= 1
    (state.folder / MEMORY).write_bytes(content)
    found = ask(state, capsys, "inspect")
    assert len(found["damaged"]) == 1
    assert "the digest of memory.safetensors differs" in found["damaged"][0]
    assert counts(state)["recall"] == 60


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["search", "id=x"], "'x' is not a number"),
        (["forget", "salience!=nan"], "'nan' is not a number"),
        (["search", "colour=red"], "unknown key 'colour'"),
        (["search", "id"], "not a term"),
        (["search", "id=999"], "no memory has this id"),
        (["search", "store>1"], "compare it with = or !="),
        (["forget", "id!=nan"], "'nan' is not a number"),
        (["search", "time=yesterday"], "not a time"),
        (["forget"], "no condition is given"),
        (["export", "memories.txt"], "end the name in .jsonl, .msgpack, .parquet"),
        (["export", "/nonexistent/memories.jsonl"], "cannot write"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, capsys, arguments: list[str], expected: str) -> None:
    state = make(tmp_path / "state")
    assert invoke(["memory", *arguments, "--state-dir", str(state.home)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line


def test_a_folder_without_memories_and_one_in_use_are_refused(state: State, tmp_path: Path, capsys) -> None:
    assert invoke(["memory", "inspect", "--state-dir", str(tmp_path / "none")]) == 2
    assert "no memories are stored here" in capsys.readouterr().err
    with locked(state.home):
        for command in (["inspect"], ["search"], ["export", "m.jsonl"], ["forget", "id=1"]):
            assert invoke(["memory", *command, "--state-dir", str(state.home)]) == 2
            assert "another session is running here" in capsys.readouterr().err


def test_times() -> None:
    now_ns = EPOCH_NS
    assert parse_time("10m", now_ns) == EPOCH_NS - 600 * SECOND_NS
    assert parse_time("1.5h", now_ns) == EPOCH_NS - 5400 * SECOND_NS
    assert parse_time("1800000000", now_ns) == EPOCH_NS
    assert parse_time("2027-01-15T08:00:00", now_ns) == EPOCH_NS
    assert parse_time("2027-01-15T09:00:00+01:00", now_ns) == EPOCH_NS
    assert parse_time("2027-01-15", now_ns) == EPOCH_NS - 8 * 3600 * SECOND_NS
    for num_ms in (400, 600):
        assert parse_time(f"2027-01-15T08:00:00.{num_ms}", now_ns) == EPOCH_NS + num_ms * 10**6
    for text in ("", "10x", "2027-13-01"):
        with pytest.raises(UserError, match="not a time"):
            parse_time(text, now_ns)
    for text in ("nan", "inf", "1800000000000", "1800000000000000000", "9999-01-01", "999999999d"):
        with pytest.raises(UserError, match="is not between 1700 and 2250: give unix seconds"):
            parse_time(text, now_ns)
