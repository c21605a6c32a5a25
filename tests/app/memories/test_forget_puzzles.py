"""`sage memory forget` deletes puzzles too: no later practice or night replays one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sage.app.cli.main import invoke
from sage.durable import digest_of
from sage.hrm_core.model_family import family_of
from sage.hrm_core.tasks.catalogue import make_task
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.store import JOURNAL, MEMORY, TrainerStore, restore_memory
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer
from sage.runtime.solving.learner import PuzzleExperience, SolutionSource
from tests.app.memories.test_memories import EPOCH_NS, SECOND_NS, make

#: Ten puzzles an episode, one a second.
NUM = 40


def trainer() -> PuzzleTrainer:
    task = make_task("sudoku", size=4)
    family = family_of("sudoku", [task.spec], hidden_size=16)
    return PuzzleTrainer("s", ["4x4"], [task], family.configs, SolverTrainingConfig(num_recent=16))


def experiences() -> Iterator[PuzzleExperience]:
    rows = make_task("sudoku", size=4).sample(NUM, np.random.default_rng(0))
    for number in range(NUM):
        yield PuzzleExperience(
            number=number, level=0, cells=rows.inputs[number], answer=rows.inputs[number],
            solution=rows.labels[number] if number % 5 else None, source=SolutionSource.TEACHER, trust=1.0,
            is_right=False, confidence=0.0, num_segments=1, num_calls=1, tick=number,
            time_ns=number * SECOND_NS, episode=1 + number // 10,
        )  # fmt: skip


@pytest.fixture(params=["snapshot and journal", "journal alone"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A state directory with the puzzles of four episodes; with a snapshot, it has the first three."""
    state = make(tmp_path / "state")
    store = TrainerStore(state.home / "solving" / "sudoku", trainer(), run=5, epoch_ns=EPOCH_NS)
    for number, experience in enumerate(experiences(), start=1):
        assert store.note(number, experience)
        if number == 30 and request.param != "journal alone":
            store.save_memory()
    store.close()
    return state.home


def numbers(home: Path) -> dict[str, list[int]]:
    """The puzzles of each table, as a trainer restores them."""
    restored = trainer()
    restore_memory(home / "solving" / "sudoku", restored, run=5)
    level = restored.memory.levels[0]
    tables = {name: getattr(level, name) for name in ("replayed", "recent", "examined", "unsolved")}
    return {name: sorted(table.columns["number"][: table.count].tolist()) for name, table in tables.items()}


def forget(home: Path, capsys: pytest.CaptureFixture[str], *terms: str):
    assert invoke(["memory", "forget", *terms, "--state-dir", str(home), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("terms", "gone"),
    [
        (["episode=2"], range(10, 20)),
        (["episode=4"], range(30, 40)),
        (["time>=2027-01-15T08:00:05", "time<=2027-01-15T08:00:12"], range(5, 13)),
        (["store=puzzles", "context=0"], range(40)),
    ],
)
def test_forgotten_puzzles_are_in_no_table(home: Path, capsys, terms: list[str], gone: range) -> None:
    before = numbers(home)
    cells = [each.cells.astype(np.int16).tobytes() for each in experiences() if each.number in gone]
    wide = [each.cells.astype(np.int32).tobytes() for each in experiences() if each.number in gone]
    planned = forget(home, capsys, *terms, "--dry-run")
    assert numbers(home) == before
    done = forget(home, capsys, *terms)
    assert planned | {"is_dry": False} == done
    after = numbers(home)
    for name, found in before.items():
        assert not set(after[name]) & set(gone), name
        assert set(after[name]) >= set(found) - set(gone), name  # older ones stay where there is room again
    files = [(home / "solving" / "sudoku" / name) for name in (JOURNAL, MEMORY)]
    content = b"".join(path.read_bytes() for path in files if path.exists())
    assert not [each for each in (*cells, *wide) if each in content]
    assert sum(done["num_puzzles"].values()) + done["num_rows"] >= len(gone)


def test_a_night_after_it_replays_none_of_them_and_new_ones_are_kept(home: Path, capsys) -> None:
    forget(home, capsys, "store=puzzles", "episode<=3")
    restored = trainer()
    store = TrainerStore(home / "solving" / "sudoku", restored, run=6, epoch_ns=EPOCH_NS)
    level = restored.memory.levels[0]
    assert set(level.replayed.columns["number"][: level.replayed.count].tolist()) <= set(range(30, 40))
    for number, experience in enumerate(experiences(), start=1):
        assert store.note(number, experience)
    store.close()
    assert level.recent.count == level.recent.capacity == 16
    newest = [e.number for e in experiences() if e.solution is not None]
    assert set(level.recent.columns["number"].tolist()) <= set(newest[-20:])


def test_sums_over_all_memories_are_cleared_and_a_file_of_an_earlier_version_is_counted(
    home: Path, capsys
) -> None:
    folder = home / "mind" / "key"
    arrays = {"entities.counts": np.ones((1, 2, 2)), "sidecar.weights": np.ones(3), "trust.alpha": np.ones(2)}
    save_file(arrays, folder / "state.safetensors")
    about = json.loads((folder / "mind.json").read_text())
    about["digests"]["state.safetensors"] = digest_of((folder / "state.safetensors").read_bytes())
    (folder / "mind.json").write_text(json.dumps(about))
    assert forget(home, capsys, "store=puzzles")["cleared"] == []
    assert set(load_file(folder / "state.safetensors")) == set(arrays)
    done = forget(home, capsys, "episode=1")
    assert done["cleared"] == ["entity memory", "sidecar"]
    assert set(load_file(folder / "state.safetensors")) == {"trust.alpha"}
    about = json.loads((folder / "mind.json").read_text())
    assert about["digests"]["state.safetensors"] == digest_of((folder / "state.safetensors").read_bytes())
