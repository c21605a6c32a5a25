"""The folder of a trainer between two sessions: what of it a night takes as new."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sage.durable import write_checked
from sage.hrm_core.model_family import family_of
from sage.hrm_core.tasks.contract import Task
from sage.mailbox.shared.memory.identity import my_identity
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles import store as store_module
from sage.runtime.sleep.puzzles.process.job import open_folder
from sage.runtime.sleep.puzzles.process.plan import TrainerJob, TrainerSetup, write_job
from sage.runtime.sleep.puzzles.process.worker import TrainerProcess
from sage.runtime.sleep.puzzles.store import (
    WEIGHTS,
    TrainerStore,
    load_weights,
    restore_memory,
    save_weights,
)
from sage.runtime.solving.learner import Offer
from tests.runtime.sleep.puzzles.conftest import NAMES, Feed


def test_what_came_after_the_last_night_of_the_run_is_new(
    tasks: list[Task], feed: Feed, tmp_path: Path
) -> None:
    family = family_of("sudoku", [tasks[0].spec])
    setup = _setup(tasks)
    store = TrainerStore(tmp_path, setup.build(), run=3)
    for number, experience in enumerate(feed(200), start=1):
        store.note(number, experience)
    store.close()
    save_weights(tmp_path / WEIGHTS, family.weights(), num_steps=5)
    write_job(tmp_path, TrainerJob(setup=setup, parent=my_identity()))
    trainer = open_folder(tmp_path)
    examined = trainer.memory.levels[0].examined
    assert trainer.slept_at == -1, "no night so far"
    assert (examined.columns["tick"][: examined.count] > trainer.slept_at).all()

    writer = setup.build()
    store = TrainerStore(tmp_path, writer, run=3)
    writer.slept_at = 99
    store.save_weights(family.weights())
    store.save_memory()
    store.note(201, dataclasses.replace(feed(1)[0], tick=300))
    store.close()
    again = open_folder(tmp_path)
    examined = again.memory.levels[0].examined
    assert (again.slept_at, again.memory.num_noted) == (99, 201)
    assert 0 < (examined.columns["tick"][: examined.count] > again.slept_at).sum() < examined.count


class Killed(Exception):
    """In the place of a kill -9."""


@pytest.mark.parametrize("num_saved", [0, 1, 2])
def test_a_kill_at_the_end_of_a_night_leaves_weights_and_memory_of_one_night(
    tasks: list[Task], feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_saved: int
) -> None:
    """Memory was written first: a kill then left what the night had examined as old, and the old weights."""
    setup = _setup(tasks)
    writer = setup.build()
    store = TrainerStore(tmp_path, writer, run=3)
    for number, experience in enumerate(feed(200), start=1):
        store.note(number, experience)
    store.save_weights(writer.weights())
    store.save_memory()
    before = writer.weights()
    after = {name: tensor + 1 for name, tensor in before.items()}
    writer.slept_at = writer.memory.newest_examined_tick  # accepted
    process = object.__new__(TrainerProcess)
    process._store, process._trainer, process._night = store, writer, 1
    process._board, process._save_problems = SimpleNamespace(), {}
    process._config = setup.config
    with monkeypatch.context() as patched:
        writes = iter([write_checked] * num_saved)
        patched.setattr(store_module, "write_checked", lambda *given, **more: _next(writes)(*given, **more))
        with contextlib.suppress(Killed):
            process._end_night(Offer(weights=after, kind="night", num_steps=3, loss=0.0))
    again = setup.build()
    restore_memory(tmp_path, again, run=3)
    weights, _ = load_weights(tmp_path / WEIGHTS)
    has_slept = num_saved > 0
    assert all(torch.equal(weights[name], (after if has_slept else before)[name]) for name in weights)
    assert again.slept_at == (writer.slept_at if has_slept else -1)
    assert again.memory.num_noted == 200


def test_memory_that_is_saved_while_the_weights_of_a_night_are_not_is_of_before_it(
    tasks: list[Task], feed: Feed, tmp_path: Path
) -> None:
    """As on a full disk."""
    setup = _setup(tasks)
    writer = setup.build()
    store = TrainerStore(tmp_path, writer, run=3)
    writer.slept_at = 7
    store.save_memory()
    again = setup.build()
    restore_memory(tmp_path, again, run=3)
    assert again.slept_at == -1


def _next(writes: Iterator[Callable[..., None]]) -> Callable[..., None]:
    for write in writes:
        return write
    raise Killed


def _setup(tasks: list[Task]) -> TrainerSetup:
    return TrainerSetup(
        stream="puzzles",
        names=NAMES[:1],
        tasks=(tasks[0],),
        configs=family_of("sudoku", [tasks[0].spec]).configs,
        config=SolverTrainingConfig(),
        seed=0,
    )
