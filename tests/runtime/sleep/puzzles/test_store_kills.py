"""kill -9 of a process that writes the trainer's store without a pause: what it acknowledged is there again.

Run as a script it is that process: it forks a writer, kills it after a random number of experiences, and
starts the next on the same folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

NUM_KILLS = 20
ROWS = 64


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "store"), str(NUM_KILLS)],
        capture_output=True,
        text=True,
        check=True,
    )
    lives = [tuple(map(int, line.split())) for line in found.stdout.splitlines()]
    assert len(lives) == NUM_KILLS
    acknowledged = 0
    for restored, last_acknowledged in lives:
        assert restored >= acknowledged
        acknowledged = last_acknowledged
    assert acknowledged > NUM_KILLS


def _write(folder: Path, out: int) -> None:
    """Note experiences for ever; writes "noted acknowledged" after each."""
    from sage.hrm_core.model_family import family_of
    from sage.hrm_core.tasks.catalogue import make_task
    from sage.runtime.config import SolverTrainingConfig
    from sage.runtime.sleep.puzzles.store import TrainerStore
    from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer
    from sage.runtime.solving.learner import PuzzleExperience, SolutionSource

    task = make_task("sudoku", size=4)
    rows = task.sample(ROWS, np.random.default_rng(0))
    family = family_of("sudoku", [task.spec], hidden_size=16)
    config = SolverTrainingConfig(num_replayed=ROWS)
    store = TrainerStore(folder, PuzzleTrainer("s", ["4x4"], [task], family.configs, config), run=1)
    number = store.noted
    while True:
        os.write(out, b"%d %d\n" % (number, store.acknowledged))
        number += 1
        experience = PuzzleExperience(
            number=number,
            level=0,
            cells=rows.inputs[number % ROWS],
            answer=rows.inputs[number % ROWS],
            solution=rows.labels[number % ROWS],
            source=SolutionSource.TEACHER,
            trust=1.0,
            is_right=False,
            confidence=0.0,
            num_segments=1,
            num_calls=1,
            tick=number,
            time_ns=number,
        )
        store.note(number, experience)
        if number % 97 == 0:
            store.save_memory()


def _live_and_die(folder: Path, num_lines: int) -> tuple[int, int]:
    """Restored at the start, and acknowledged at the end, of one writer."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read_end)
        _write(folder, write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as lines:
        first = last = lines.readline()
        for _ in range(num_lines):
            last = lines.readline()
        os.kill(pid, signal.SIGKILL)
        for line in lines:
            last = line if line.endswith(b"\n") else last
    os.waitpid(pid, 0)
    return int(first.split()[0]), int(last.split()[1])


if __name__ == "__main__":
    chance = np.random.default_rng(0)
    for _ in range(int(sys.argv[2])):
        print(*_live_and_die(Path(sys.argv[1]), int(chance.integers(10, 200))), flush=True)
