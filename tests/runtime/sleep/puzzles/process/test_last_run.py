"""The folder of a trainer between two sessions: what of it a night takes as new."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from sage.hrm_core.model_family import family_of
from sage.hrm_core.tasks.contract import Task
from sage.mailbox.shared.memory.identity import my_identity
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.process.job import open_folder
from sage.runtime.sleep.puzzles.process.plan import TrainerJob, TrainerSetup, write_job
from sage.runtime.sleep.puzzles.store import WEIGHTS, TrainerStore, save_weights
from tests.runtime.sleep.puzzles.conftest import NAMES, Feed


def test_what_came_after_the_last_night_of_the_run_is_new(
    tasks: list[Task], feed: Feed, tmp_path: Path
) -> None:
    family = family_of("sudoku", [tasks[0].spec])
    setup = TrainerSetup(
        stream="puzzles",
        names=NAMES[:1],
        tasks=(tasks[0],),
        configs=family.configs,
        config=SolverTrainingConfig(),
        seed=0,
    )
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
    store.save_memory()
    store.note(201, dataclasses.replace(feed(1)[0], tick=300))
    store.close()
    again = open_folder(tmp_path)
    examined = again.memory.levels[0].examined
    assert (again.slept_at, again.memory.num_noted) == (99, 201)
    assert 0 < (examined.columns["tick"][: examined.count] > again.slept_at).sum() < examined.count
