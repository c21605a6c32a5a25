from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sage.durable import Contents, write_checked
from sage.errors import InputError
from sage.memory.stores.journal_file import read_journal
from sage.runtime.sleep.puzzles.folders import folder_of_levels
from sage.runtime.sleep.puzzles.store import (
    JOURNAL,
    MEMORY,
    WEIGHTS,
    TrainerStore,
    append_rest,
    load_weights,
    restore_memory,
    save_weights,
)
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer
from tests.runtime.sleep.puzzles.conftest import Feed, MakeTrainer


def _settle(store: TrainerStore, number: int) -> None:
    assert store._journal.wait(store._journal.last_sequence, 30.0)
    assert store.acknowledged == number


def _counts(trainer: PuzzleTrainer) -> tuple[int, int]:
    level = trainer.memory.levels[0]
    return level.replayed.count, level.examined.count


def test_acknowledged_experiences_are_there_after_an_end_without_a_close(
    make_trainer: MakeTrainer, feed: Feed, tmp_path: Path
) -> None:
    trainer = make_trainer(0)
    store = TrainerStore(tmp_path / "store", trainer, run=5)
    for number, experience in enumerate(feed(40), start=1):
        assert store.note(number, experience)
    _settle(store, 40)
    shutil.copytree(tmp_path / "store", tmp_path / "killed")  # what a kill -9 leaves
    store.close()

    other = make_trainer(0)
    found = restore_memory(tmp_path / "killed", other, run=5)
    assert found.noted == 40
    assert _counts(other) == _counts(trainer)
    assert other.memory.num_noted == 40


def test_a_snapshot_and_the_journal_after_it_give_each_experience_once(
    make_trainer: MakeTrainer, feed: Feed, tmp_path: Path
) -> None:
    trainer = make_trainer(0)
    store = TrainerStore(tmp_path, trainer, run=5)
    puzzles = feed(50)
    for number in range(1, 31):
        store.note(number, puzzles[number - 1])
    store.save_memory()
    assert store.acknowledged == 30
    for number in range(31, 51):
        store.note(number, puzzles[number - 1])
    assert not store.note(50, puzzles[49])
    store.close()

    other = make_trainer(0)
    again = TrainerStore(tmp_path, other, run=5)
    assert again.noted == again.acknowledged == 50
    assert not again.note(50, puzzles[49])
    assert _counts(other) == _counts(trainer)
    again.close()


def test_experiences_of_another_run_are_old_and_counted_anew(
    make_trainer: MakeTrainer, feed: Feed, tmp_path: Path
) -> None:
    store = TrainerStore(tmp_path, make_trainer(0), run=5)
    for number, experience in enumerate(feed(40), start=1):
        store.note(number, experience)
    store.close()
    trainer = make_trainer(0)
    other = TrainerStore(tmp_path, trainer, run=6)
    assert other.noted == 0
    assert trainer.memory.num_noted == 40
    table = trainer.memory.levels[0].replayed
    assert (table.columns["tick"][: table.count] == -1).all()
    assert other.note(1, feed(1, first=100)[0])
    other.close()


def test_the_rest_is_written_once_behind_what_the_memory_and_the_journal_have(
    make_trainer: MakeTrainer, feed: Feed, tmp_path: Path
) -> None:
    store = TrainerStore(tmp_path, make_trainer(0), run=5)
    numbered = list(enumerate(feed(50), start=1))
    for number, experience in numbered[:30]:
        store.note(number, experience)
        if number == 20:
            store.save_memory()
    store.close()
    for _ in range(2):
        assert append_rest(tmp_path, numbered[10:], run=5, epoch_ns=7) == 0
    trainer = make_trainer(0)
    assert restore_memory(tmp_path, trainer, run=5).noted == 50
    assert trainer.memory.num_noted == 50


def test_after_one_without_room_no_later_one_is_taken_before_it(
    make_trainer: MakeTrainer, feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`acknowledged` would count the one that is missing."""
    store = TrainerStore(tmp_path, make_trainer(0), run=5)
    puzzles = feed(4)
    assert store.note(1, puzzles[0])
    monkeypatch.setattr(store._journal, "append", lambda _: 0)
    assert not store.note(2, puzzles[1])
    monkeypatch.undo()
    assert not store.note(3, puzzles[2])
    _settle(store, 1)
    for number in (2, 3, 4):
        assert store.note(number, puzzles[number - 1])
    _settle(store, 4)
    store.close()


def test_a_damaged_journal_is_repaired_and_its_experiences_stay(
    make_trainer: MakeTrainer, feed: Feed, tmp_path: Path
) -> None:
    store = TrainerStore(tmp_path, make_trainer(0), run=5)
    for number, experience in enumerate(feed(30), start=1):
        store.note(number, experience)
    store.close()
    data = bytearray((tmp_path / JOURNAL).read_bytes())
    data[2 * 4096] ^= 4  # the kind of the page where the tree of rows begins
    (tmp_path / JOURNAL).write_bytes(data)
    trainer = make_trainer(0)
    again = TrainerStore(tmp_path, trainer, run=5)
    assert (again.noted, trainer.memory.num_noted) == (30, 30)
    assert again.note(31, feed(1, first=30)[0])
    _settle(again, 31)
    again.close()
    assert (tmp_path / f"{JOURNAL}.damaged").exists()
    assert restore_memory(tmp_path, make_trainer(0), run=5).noted == 31


def test_reading_alone_renames_nothing(make_trainer: MakeTrainer, feed: Feed, tmp_path: Path) -> None:
    store = TrainerStore(tmp_path, make_trainer(0), run=5)
    store.note(1, feed(1)[0])
    store.save_memory()
    store.close()
    (tmp_path / MEMORY).write_bytes(b"damaged")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    restore_memory(tmp_path, make_trainer(0), run=0)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_damaged_snapshot_is_renamed(make_trainer: MakeTrainer, feed: Feed, tmp_path: Path) -> None:
    store = TrainerStore(tmp_path, make_trainer(0), run=5)
    store.note(1, feed(1)[0])
    store.save_memory()
    store.close()
    data = bytearray((tmp_path / MEMORY).read_bytes())
    data[-9] ^= 1
    (tmp_path / MEMORY).write_bytes(data)
    trainer = make_trainer(0)
    TrainerStore(tmp_path, trainer, run=6).close()
    assert (tmp_path / f"{MEMORY}.damaged").exists()
    assert trainer.memory.num_noted <= 1


def test_a_snapshot_of_other_levels_is_renamed(make_trainer: MakeTrainer, feed: Feed, tmp_path: Path) -> None:
    store = TrainerStore(tmp_path, make_trainer(0), run=5)
    store.note(1, feed(1)[0])
    store.save_memory()
    store.close()
    TrainerStore(tmp_path, make_trainer(0, num_levels=2), run=6).close()
    assert (tmp_path / f"{MEMORY}.damaged").exists()
    assert (tmp_path / JOURNAL).exists()


def test_a_memory_of_a_newer_version_is_refused_and_stays(
    make_trainer: MakeTrainer, feed: Feed, tmp_path: Path
) -> None:
    contents = Contents(arrays=make_trainer(9).memory.state(), scalars={})
    write_checked(tmp_path / MEMORY, contents, schema="puzzle_memory/2")
    for _ in range(2):
        with pytest.raises(InputError, match="has schema 'puzzle_memory/2', this version reads"):
            TrainerStore(tmp_path, make_trainer(0), run=6)
    assert [path.name for path in tmp_path.iterdir()] == [MEMORY]


def test_a_memory_of_other_sizes_is_read_as_far_as_it_fits(
    make_trainer: MakeTrainer, feed: Feed, tmp_path: Path
) -> None:
    first = make_trainer(0, num_recent=40)
    store = TrainerStore(tmp_path, first, run=5)
    for number, experience in enumerate(feed(100), start=1):
        store.note(number, experience)
    store.save_memory()
    store.close()
    newest = first.memory.levels[0].recent.columns["number"].max()
    for size in (20, 30, 60):
        trainer = make_trainer(0, num_recent=size)
        again = TrainerStore(tmp_path, trainer, run=6)
        again.save_memory()
        again.close()
        recent = trainer.memory.levels[0].recent
        assert (recent.count, recent.columns["number"].max()) == (20, newest)
        assert trainer.memory.levels[0].replayed.count > 60
    assert {path.name for path in tmp_path.iterdir()} == {MEMORY, JOURNAL}


def test_rows_of_other_levels_are_kept_aside_with_one_warning(
    make_trainer: MakeTrainer, feed: Feed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = TrainerStore(tmp_path, make_trainer(0, num_levels=2), run=5)
    for number, experience in enumerate([*feed(3), *feed(5, level=1), *feed(2)], start=1):
        store.note(number, experience)
    store.close()
    trainer = make_trainer(0)
    other = TrainerStore(tmp_path, trainer, run=6)
    assert trainer.memory.num_noted == 5
    assert len(caplog.records) == 2
    assert other.note(1, feed(1)[0])
    _settle(other, 1)
    other.save_memory()
    other.close()
    assert len(read_journal(tmp_path / f"{JOURNAL}.damaged").rows) == 10
    assert restore_memory(tmp_path, make_trainer(0), run=6).noted == 1


def test_each_set_of_levels_has_a_folder(make_trainer: MakeTrainer, feed: Feed, tmp_path: Path) -> None:
    one, two = make_trainer(0), make_trainer(0, num_levels=2)
    home = tmp_path / "puzzles"
    assert folder_of_levels(home, one.names, one.tasks) == home
    store = TrainerStore(home, make_trainer(0, num_levels=2), run=5)
    store.note(1, feed(1, level=1)[0])
    store.save_memory()
    store.close()
    assert folder_of_levels(home, two.names, two.tasks) == home
    other = folder_of_levels(home, one.names, one.tasks)
    assert other == tmp_path / "puzzles.2"
    TrainerStore(other, make_trainer(0), run=6).close()
    assert folder_of_levels(home, one.names, one.tasks) == other
    (home / MEMORY).unlink()  # the journal alone
    store = TrainerStore(home, make_trainer(0, num_levels=2), run=5)
    store.note(1, feed(1, level=1)[0])
    store.close()
    assert folder_of_levels(home, two.names, two.tasks) == home
    assert folder_of_levels(home, one.names, one.tasks) == other


def test_weights_come_back_with_their_steps(tmp_path: Path, shipped_weights: dict[str, Tensor]) -> None:
    save_weights(tmp_path / WEIGHTS, shipped_weights, num_steps=7)
    weights, num_steps = load_weights(tmp_path / WEIGHTS)
    assert num_steps == 7
    assert all(torch.equal(weights[name], tensor) for name, tensor in shipped_weights.items())
    with pytest.raises(FileNotFoundError):
        load_weights(tmp_path / "none")
