"""A process that writes a state directory without a pause, as the parts of a session write it: the loop with
its snapshots, journal and metrics store, the audit log, a Totality folder, and a trainer of puzzles.

Invariant: a line "acknowledged" is written only after its parts returned that it is on the disk, or with the
operating system (the audit log).
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sage.app.audit.log import AuditLog
from sage.app.audit.reader import read_trail
from sage.app.config.sage_config import build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.session.build import Run, build_run
from sage.app.session.snapshot_keeper import SnapshotKeeper
from sage.app.store.metrics_store import MetricsStore
from sage.hrm_core.model_family import family_of
from sage.hrm_core.tasks.catalogue import make_task
from sage.mailbox.clock import ManualClock
from sage.memory.stores.hmemory import Experience, HMemory
from sage.related_work.totality.content import Slot
from sage.related_work.totality.messages import SchemeDraft, WriteRequest
from sage.related_work.totality.persistence import TotalityFolder
from sage.related_work.totality.read_query import ReadQuery
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.store import TrainerStore
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer
from sage.runtime.solving.learner import PuzzleExperience, SolutionSource

SNAPSHOT_SECS = 0.4  # of the loop's clock: one in eight ticks
TICKS_A_STEP, EXPERIENCES_A_STEP = 4, 8
NUM_SCHEMES = 40
LEARNED = ("hits", "num_judged", "num_useful")
#: A restart reads the rows of so many sessions again.
NUM_SESSIONS = 3
PERSIST_EVERY, SAVE_EVERY = 60, 50
#: So that the sessions of one folder have one name for a trainer's run, and every number counts on.
TRAINER_RUN = 1
SETTINGS: dict[str, Any] = {
    "tick": {"rate_hz": 20, "rest_rate_hz": 20},
    "model": {"hidden_size": 8, "num_heads": 1, "H_cycles": 1, "L_cycles": 1},
    "practice": {"every_ticks": 16, "batch_size": 2, "window_ticks": 4, "burn_in_ticks": 1},
    "memory": {"num_experiences": 64, "num_recall": 64, "num_transitions": 64, "write_rate": 0.9},
    "sleep": {"enabled": False, "examined_fraction": 0.1, "block_secs": 0.3},
    "budget": {"segments": 1},
    "sensors": [
        {"kind": "synthetic", "name": name, "shape": [2], "rate_hz": 20, "seed": seed}
        for seed, name in enumerate("ab")
    ],
}


def write_until_killed(folder: Path, out: int) -> None:
    """Recover what is in `folder`, report it, then write. Lines of JSON go to the file descriptor `out`."""
    with ExitStack() as stack:
        parts = Parts.open(folder, stack)
        report(out, "recovered", parts.recovered)
        number = 0
        while True:
            number += 1
            parts.step()
            # Before the acknowledgement: what is acknowledged has its digest on the other side.
            report(out, "memory", {"sequence": parts.keeper.last_sequence, "digest": digest_of(parts.memory)})
            report(out, "acknowledged", parts.acknowledged())


def warm_up(folder: Path) -> None:
    """Import and compile in this process all that a writer needs; no thread stays."""
    with ExitStack() as stack:
        parts = Parts.open(folder, stack)
        for _ in range(SAVE_EVERY):
            parts.step()
        parts.trainer.close()
        parts.keeper.close()
        parts.run.close()


def report(out: int, kind: str, facts: Mapping[str, Any]) -> None:
    os.write(out, (json.dumps({"kind": kind, **facts}) + "\n").encode())


def digest_of(memory: HMemory) -> str:
    """Of every store's arrays but times, which count from the start of a run, and counts of use, which are
    learned and go back to the last snapshot as weights do.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, store in memory.stores.items():
        for field_name, array in sorted(store.state().arrays.items()):
            if not field_name.endswith("times_ns") and field_name not in LEARNED:
                digest.update(f"{name}/{field_name} {array.dtype.str} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@dataclass(slots=True, kw_only=True)
class Parts:
    """Everything that writes, and what it had recovered. values: of each scheme, the newest acknowledged."""

    run: Run
    keeper: SnapshotKeeper
    metrics: MetricsStore
    session: str
    audit: AuditLog
    totality: TotalityFolder
    trainer: TrainerStore
    rows: Any
    recovered: dict[str, Any]
    num_audited: int
    num_puzzles: int
    num_schemes: int
    chance: np.random.Generator = field(default_factory=np.random.default_rng)
    num_steps: int = 0
    values: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, stack: ExitStack) -> Parts:
        """As a session starts; `recovered` has what each part found and every sign of damage."""
        metrics = stack.enter_context(MetricsStore(folder / "store.sqlite"))
        audit = stack.enter_context(closing(AuditLog(folder / "audit", max_bytes=64 << 20)))
        clock = ManualClock()
        config = build_config(YamlDocument(data=SETTINGS, source="soak"))
        run = build_run(config, clock, directory=folder / "sleep")
        keeper = SnapshotKeeper(
            folder / "mind",
            clock,
            journal_home=folder / "journal",
            first_secs=SNAPSHOT_SECS,
            every_secs=SNAPSHOT_SECS,
        )
        message = keeper.attach(run.loop)
        totality = stack.enter_context(TotalityFolder(folder / "totality", clock.now_ns))
        trainer, rows = _trainer(folder / "solving")
        trail = read_trail(folder / "audit")
        schemes = totality.store.read(ReadQuery(limit=1000)).schemes
        recovered = {
            "message": message,
            "memory": keeper.last_sequence,
            "digest": digest_of(run.loop.memory_writer.memory),
            "audit": trail.rows[-1]["n"] if trail.rows else 0,
            "trainer": trainer.noted,
            "schemes": {each.id: each.slots[0].value for each in schemes},
            "stored": _stored(metrics),
            "problems": [*trail.problems, *totality.notices, *_damage(folder, message)],
        }
        session = metrics.begin_session(name="soak")
        run.open()
        run.loop.observe(metrics.instrument(session), keeper)
        return cls(
            run=run,
            keeper=keeper,
            metrics=metrics,
            session=session,
            audit=audit,
            totality=totality,
            trainer=trainer,
            rows=rows,
            recovered=recovered,
            num_audited=recovered["audit"],
            num_puzzles=trainer.noted,
            num_schemes=max((int(value) for value in recovered["schemes"].values()), default=0),
        )

    @property
    def memory(self) -> HMemory:
        return self.run.loop.memory_writer.memory

    def step(self) -> None:
        """Experiences, ticks, a row of the audit log, a scheme, a puzzle; now and then a snapshot of each."""
        self.num_steps += 1
        for _ in range(EXPERIENCES_A_STEP):
            self.memory.remember(self._experience())
        self.run.loop.run(num_ticks=TICKS_A_STEP)
        if not self.audit.note("step", str(self.num_steps)):
            self.num_audited += 1
        self._write_scheme()
        self._note_puzzle()
        if self.num_steps % PERSIST_EVERY == 0:
            self.totality.persist()
        if self.num_steps % SAVE_EVERY == 0:
            self.trainer.save_memory()

    def acknowledged(self) -> dict[str, Any]:
        """Of every part what is on the disk now; a restart has at least that."""
        written = self.metrics.instrument(self.session).statistics().num_written
        return {
            "memory": self.keeper.acknowledged,
            "audit": self.num_audited,
            "trainer": self.trainer.acknowledged,
            "schemes": dict(list(self.values.items())[-1:]),
            "stored": {self.session: written},
            "num_snapshots": self.keeper.num_written,
            "problem": self.keeper.problem or self.keeper.journal_problem or self.trainer.problem,
        }

    def _experience(self) -> Experience:
        """One more than the loop's own, which are few; the place of its numbers is random."""
        geometry = self.memory.recall_store.state().geometry
        key = self.chance.standard_normal(geometry["key_dim"]).astype(np.float32)
        return Experience(
            window=None,
            key=key / np.linalg.norm(key),
            value=self.chance.standard_normal(geometry["value_dim"]).astype(np.float32),
            surprise=0.5,
            salience=float(self.chance.random()),
            trust=1.0,
            context=0,
            time_ns=self.run.loop.clock.now_ns() - self.run.loop.epoch_ns,
        )

    def _write_scheme(self) -> None:
        self.num_schemes += 1
        name = f"s{self.num_schemes % NUM_SCHEMES}"
        draft = SchemeDraft(id=name, label="soak", slots=(Slot(name="n", value=self.num_schemes),))
        self.totality.store.write(WriteRequest(schemes=(draft,)))  # waits for the disk
        self.values.pop(name, None)
        self.values[name] = self.num_schemes

    def _note_puzzle(self) -> None:
        number = self.num_puzzles + 1
        at = number % len(self.rows.inputs)
        experience = PuzzleExperience(
            number=number,
            level=0,
            cells=self.rows.inputs[at],
            answer=self.rows.inputs[at],
            solution=self.rows.labels[at],
            source=SolutionSource.TEACHER,
            trust=1.0,
            is_right=False,
            confidence=0.0,
            num_segments=1,
            num_calls=1,
            tick=number,
            time_ns=number,
        )
        if self.trainer.note(number, experience):
            self.num_puzzles = number


def _trainer(folder: Path) -> tuple[TrainerStore, Any]:
    task = make_task("sudoku", size=4)
    rows = task.sample(64, np.random.default_rng(0))
    family = family_of("sudoku", [task.spec], hidden_size=16)
    config = SolverTrainingConfig(num_replayed=64)
    trainer = PuzzleTrainer("soak", ["4x4"], [task], family.configs, config)
    return TrainerStore(folder, trainer, run=TRAINER_RUN), rows


def _stored(metrics: MetricsStore) -> dict[str, int]:
    """Reports of the last sessions: their ticks and events."""
    return {
        each.id: each.num_ticks + len(metrics.events(each.id)) for each in metrics.sessions()[-NUM_SESSIONS:]
    }


def _damage(folder: Path, message: str) -> list[str]:
    """What a restart must never find: after a kill nothing is damaged."""
    found = [message] if "damaged" in message or "could not be read" in message else []
    found += [str(path) for path in folder.rglob("*.damaged")]
    with closing(sqlite3.connect(folder / "store.sqlite")) as connection:
        (check,) = connection.execute("PRAGMA quick_check").fetchone()
    return found + ([f"store.sqlite: {check}"] if check != "ok" else [])
