"""`sage memory` shows, finds and exports the puzzles of trainers: those that `forget` deletes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from sage.app.cli.main import invoke
from sage.app.memories.export import EXPORTED
from sage.hrm_core.tasks.catalogue import make_task
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.process.plan import JOB, TrainerJob, TrainerSetup, write_job
from sage.runtime.sleep.puzzles.store import MEMORY, TrainerStore
from tests.app.memories.test_forget_puzzles import NUM, experiences, trainer
from tests.app.memories.test_memories import EPOCH_NS, make

TABLES = ("replayed", "recent", "examined", "unsolved")


@pytest.fixture(params=["snapshot", "snapshot and journal", "journal alone"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A state directory with a stream of forty puzzles; a snapshot has all of them, thirty, or none."""
    state = make(tmp_path / "state")
    folder = state.home / "solving" / "sudoku"
    saves_at = {"snapshot": NUM, "snapshot and journal": 30}.get(request.param)
    store = TrainerStore(folder, trainer(), run=5, epoch_ns=EPOCH_NS)
    for number, experience in enumerate(experiences(), start=1):
        assert store.note(number, experience)
        if number == saves_at:
            store.save_memory()
    store.close()
    made = trainer()
    setup = TrainerSetup(
        stream="sudoku", names=made.names, tasks=made.tasks, configs=made.configs,
        config=SolverTrainingConfig(num_recent=16), seed=0,
    )  # fmt: skip
    write_job(folder, TrainerJob(setup=setup, parent=0))
    return state.home


def sage(home: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert invoke(["memory", *words, "--state-dir", str(home), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "terms",
    [
        ["store=puzzles"],
        ["store=recent"],
        ["store=journal"],
        ["store!=puzzles"],
        ["mind=sudoku", "store!=recent"],
        ["mind=other"],
        ["episode=2"],
        ["tick>=5", "tick<=12"],
        ["number=7"],
        ["level=4x4", "time>=2027-01-15T08:00:30"],
        ["level!=4x4"],
        ["context=0", "trust>0.5", "number<20"],
    ],
)
def test_search_finds_what_forget_deletes(home: Path, capsys, terms: list[str]) -> None:
    hits = [hit["fields"] for hit in sage(home, capsys, "search", *terms, "--limit", "1000")]
    found = Counter(f"{each['mind']} {each['store']}" for each in hits if "puzzle" in each)
    memories = Counter(each["store"] for each in hits if "puzzle" not in each)
    planned = sage(home, capsys, "forget", *terms, "--dry-run")
    assert {name: num for name, num in planned["num_puzzles"].items() if num} == found
    assert {name: num for name, num in planned["num_memories"].items() if num} == memories
    done = sage(home, capsys, "forget", *terms)
    assert done["num_puzzles"] == planned["num_puzzles"]
    left = sage(home, capsys, "search", *terms, "--limit", "1000")
    assert not [hit for hit in left if "puzzle" in hit["fields"]]
    if terms[0].startswith(("tick", "number", "level")):
        assert not memories


def test_inspect_counts_every_table(home: Path, capsys) -> None:
    rows = sage(home, capsys, "inspect")["puzzles"]
    found = {row["table"]: row for row in rows}
    has_snapshot = (home / "solving" / "sudoku" / MEMORY).exists()
    assert set(found) >= set(TABLES if has_snapshot else ["journal"])
    assert {row["level"] for row in rows} == {"4x4"}
    hits = sage(home, capsys, "search", "store=puzzles", "--limit", "1000")
    counted = Counter(hit["fields"]["store"] for hit in hits)
    assert {name: row["num_puzzles"] for name, row in found.items() if row["num_puzzles"]} == counted
    assert min(row["first_tick"] for row in rows if row["num_puzzles"]) == 0
    assert max(row["last_tick"] for row in rows if row["num_puzzles"]) == NUM - 1
    assert min(row["oldest_ns"] for row in rows if row["num_puzzles"]) == EPOCH_NS
    assert all(row["num_bytes"] > 0 for row in rows if row["num_puzzles"])
    if has_snapshot:
        assert found["recent"]["capacity"] == 16
        assert found["recent"]["num_puzzles"] == 16
    assert invoke(["memory", "inspect", "--state-dir", str(home)]) == 0
    text = capsys.readouterr().out
    assert "puzzles sudoku" in text
    assert ("16 of 16" in text) == has_snapshot


def test_a_puzzle_is_printed_beside_its_solution(home: Path, capsys) -> None:
    rows = make_task("sudoku", size=4).sample(NUM, np.random.default_rng(0))
    task = make_task("sudoku", size=4)
    hits = sage(home, capsys, "search", "number=7", "store=puzzles")
    for fields in (hit["fields"] for hit in hits):
        assert fields["puzzle"] == task.decode(rows.inputs[7])
        assert fields["solution"] == task.decode(rows.labels[7])
        assert (fields["provenance"], fields["tick"], fields["episode"]) == ("teacher", 7, 1)
    assert invoke(["memory", "search", "number=7", "store=puzzles", "--state-dir", str(home)]) == 0
    head, *drawn = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert head.startswith("puzzle 7 of sudoku, level 4x4, ")
    assert "2027-01-15 08:00:07 UTC, tick 7, episode 1, solution shown by the environment" in head
    left, right = task.render(rows.inputs[7]).splitlines(), task.render(rows.labels[7]).splitlines()
    assert [line.split() for line in drawn] == [(a + " " + b).split() for a, b in zip(left, right)]
    (unsolved,) = sage(home, capsys, "search", "number=5", "store=puzzles", "--limit", "1")
    assert unsolved["fields"]["solution"] is None


def test_the_nearest_in_time_and_the_newest_come_first(home: Path, capsys) -> None:
    near = sage(home, capsys, "search", "time=2027-01-15T08:00:21", "store=puzzles", "--limit", "1")
    assert near[0]["fields"]["number"] == 21
    assert near[0]["distance_secs"] == 0
    newest = sage(home, capsys, "search", "--limit", "3")
    numbers = [hit["fields"]["number"] for hit in newest if "puzzle" in hit["fields"]]
    assert len(newest) == 6  # as many memories
    assert numbers[0] == NUM - 1
    assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize("suffix", ["jsonl", "msgpack", "parquet"])
def test_an_export_has_them_all(home: Path, capsys, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"a.{suffix}"
    hits = sage(home, capsys, "search", "store=puzzles", "--limit", "1000")
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    assert invoke(["memory", "export", str(out), "--state-dir", str(home)]) == 0
    assert capsys.readouterr().out.endswith(f" memories, {len(hits)} puzzles\n")
    if suffix == "jsonl":
        records = [json.loads(line) for line in out.read_text().splitlines()[1:]]
    elif suffix == "msgpack":
        records = list(msgpack.Unpacker(out.open("rb")))[1:]
    else:
        import pyarrow.parquet as pq

        records = pq.read_table(out).to_pylist()
    puzzles = [{name: each[name] for name in EXPORTED} for each in records if each["puzzle"] is not None]
    expected = [{name: hit["fields"][name] for name in EXPORTED} for hit in hits]
    order = itemgetter("store", "number")
    assert sorted(puzzles, key=order) == sorted(expected, key=order)


def test_without_a_job_the_cells_are_numbers_and_damage_is_named(home: Path, capsys) -> None:
    folder = home / "solving" / "sudoku"
    (folder / JOB).unlink()
    (hit, *_) = sage(home, capsys, "search", "number=7", "store=puzzles")
    cells = next(each.cells for each in experiences() if each.number == 7)
    assert hit["fields"]["puzzle"] == " ".join(map(str, cells.tolist()))
    if (folder / MEMORY).exists():
        (folder / MEMORY).write_bytes(b"no memory")
        assert MEMORY in " ".join(sage(home, capsys, "inspect")["damaged"])


def test_a_directory_with_puzzles_alone_is_read(home: Path, capsys) -> None:
    shutil.rmtree(home / "mind")
    shutil.rmtree(home / "journal")
    assert sage(home, capsys, "search", "store=puzzles")
    assert invoke(["memory", "inspect", "--state-dir", str(home)]) == 0
