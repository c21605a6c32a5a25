"""What one trainer for many machines costs: bytes that a machine sends and receives, CPU seconds of nights.

A machine's trainer folder (STATE_DIR/solving/STREAM) is filled with sudokus of 4x4, 6x6 and 9x9, as the
default run poses them, each with its solution; then the folder is opened by another process's trainer, which
spends one night with the default settings from fresh weights, in this process and on one thread, as `sage
sleep DIR` does. Bytes are those of the files. The plan is arithmetic on these figures: nights every
`sleep.every_secs` (600 s), --answers puzzles an hour. docs/fleet.md plans with it.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch

from sage.hrm_core.model_family import ModelFamily
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Task
from sage.runtime.config import SleepConfig, SolverTrainingConfig, SolvingConfig
from sage.runtime.sleep.puzzles.store import JOURNAL, MEMORY, WEIGHTS, TrainerStore, restore_memory
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer
from sage.runtime.solving.learner import PuzzleExperience, SolutionSource
from sage.runtime.solving.models import family_for

SIZES = (4, 6, 9)
PUZZLES, QUICK_PUZZLES = 1500, 240
#: The default run answers 4,519 in two minutes, mean of five seeds (first_run_x86-64-2core_2026-11-29).
ANSWERS_AN_HOUR = 136_000
HOUR_SECS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """journal_bytes: of one experience.  memory_bytes: of the snapshot.  night_cpu_secs: of one night."""

    num_puzzles: int
    journal_bytes: float
    memory_bytes: int
    weights_bytes: int
    restore_cpu_secs: float
    night_cpu_secs: float
    night_steps: int
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """For one machine, and how many machines a core of the trainer serves."""

    sent_bytes_an_hour: float
    received_bytes_an_hour: float
    cpu_secs_an_hour: float
    machines_a_core: float


def measure(num: int, *, is_quick: bool) -> Measured:
    tasks: list[Task] = [make_task("sudoku", size=size) for size in SIZES]
    family = family_for([task.spec for task in tasks], SolvingConfig(), seed=0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, tasks, family, num, is_quick=is_quick)
        trainer = trainer_of(tasks, family, is_quick=is_quick)
        started = time.process_time()
        restore_memory(folder, trainer, run=2)
        restored = time.process_time()
        assert trainer.memory.num_noted == num, "the folder was read in part"
        trainer.begin_night(num)
        offer = None
        while offer is None:
            offer = trainer.advance_night()
        assert offer.report is not None
        return Measured(
            num_puzzles=num,
            journal_bytes=(folder / "journal_bytes").stat().st_size / num,
            memory_bytes=(folder / MEMORY).stat().st_size,
            weights_bytes=(folder / WEIGHTS).stat().st_size,
            restore_cpu_secs=restored - started,
            night_cpu_secs=time.process_time() - restored,
            night_steps=offer.report.num_steps,
            outcome=offer.report.outcome.value,
        )


def trainer_of(tasks: list[Task], family: ModelFamily, *, is_quick: bool) -> PuzzleTrainer:
    changes: dict[str, Any] = {"night_steps": 4, "num_asked": 4, "min_examined": 8} if is_quick else {}
    config = SolverTrainingConfig(where="inline", **changes)
    names = [f"{size}x{size}" for size in SIZES]
    trainer = PuzzleTrainer("fleet", names, tasks, family.configs, config, seed=0)
    trainer.load(family.weights())
    return trainer


def fill(folder: Path, tasks: list[Task], family: ModelFamily, num: int, *, is_quick: bool) -> None:
    """Experiences through the journal into a snapshot; the journal's bytes before it is emptied stay as a
    copy.
    """
    trainer = trainer_of(tasks, family, is_quick=is_quick)
    store = TrainerStore(folder, trainer, run=1)
    generator, number = np.random.default_rng(0), 0
    for level, task in enumerate(tasks):
        examples = task.sample(num // len(tasks), generator)
        for cells, solution in zip(examples.inputs, examples.labels):
            number += 1
            store.note(number, experience_of(number, level, cells, solution))
    store.close()
    sizes = sum(path.stat().st_size for path in folder.glob(f"{JOURNAL}*"))
    (folder / "journal_bytes").write_bytes(bytes(sizes))
    store = TrainerStore(folder, trainer_of(tasks, family, is_quick=is_quick), run=1)
    store.save_memory()
    store.save_weights(family.weights())
    store.close()


def experience_of(number: int, level: int, cells: np.ndarray, solution: np.ndarray) -> PuzzleExperience:
    return PuzzleExperience(
        number=number,
        level=level,
        cells=cells,
        answer=cells,
        solution=solution,
        source=SolutionSource.TEACHER,
        trust=1.0,
        is_right=False,
        confidence=0.5,
        num_segments=16,
        num_calls=1,
        tick=number,
        time_ns=0,
    )


def plan_of(found: Measured, answers: float) -> Plan:
    nights = HOUR_SECS / SleepConfig().every_secs
    cpu = nights * (found.night_cpu_secs + found.restore_cpu_secs)
    return Plan(
        sent_bytes_an_hour=answers * found.journal_bytes,
        received_bytes_an_hour=nights * found.weights_bytes,
        cpu_secs_an_hour=cpu,
        machines_a_core=HOUR_SECS / cpu,
    )


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--puzzles", type=int, help=f"experiences of a machine (default: {PUZZLES})")
    parser.add_argument("--answers", type=float, default=ANSWERS_AN_HOUR, help="of a machine in an hour")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    num = arguments.puzzles or (QUICK_PUZZLES if arguments.quick else PUZZLES)
    found = measure(num, is_quick=arguments.quick)
    plan = plan_of(found, arguments.answers)
    results = {
        "measured": asdict(found),
        "answers_an_hour": arguments.answers,
        "plan": asdict(plan),
        "calibration": harness.calibrate(),
    }
    whole = harness.document("fleet", results, [])
    harness.finish(
        whole, tables(found, plan), is_saved=arguments.save, notes=(__doc__ or "").partition("\n\n")[2]
    )


def tables(found: Measured, plan: Plan) -> list[harness.TextTable]:
    measured = (
        ("experiences", f"{found.num_puzzles:,}"),
        ("bytes of one in the journal", f"{found.journal_bytes:,.0f}"),
        ("bytes of the memory's snapshot", f"{found.memory_bytes:,}"),
        ("bytes of the weights", f"{found.weights_bytes:,}"),
        ("CPU s to read the folder", f"{found.restore_cpu_secs:.2f}"),
        ("CPU s of a night", f"{found.night_cpu_secs:.1f}"),
        ("steps of the night", f"{found.night_steps:,}"),
        ("outcome", found.outcome),
    )
    planned = (
        ("MB sent an hour, as journal rows", f"{plan.sent_bytes_an_hour / 1e6:.1f}"),
        ("MB received an hour, if every night is accepted", f"{plan.received_bytes_an_hour / 1e6:.1f}"),
        ("CPU s of nights an hour", f"{plan.cpu_secs_an_hour:.0f}"),
        ("machines a core of the trainer", f"{plan.machines_a_core:.1f}"),
    )
    return [
        harness.TextTable(title="One machine's folder and night", columns=("", ""), rows=measured),
        harness.TextTable(title="The plan, for one machine", columns=("", ""), rows=planned),
    ]


if __name__ == "__main__":
    main()
