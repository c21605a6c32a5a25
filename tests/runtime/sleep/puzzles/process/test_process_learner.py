"""The trainer's process, started for real, fed, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.model_family import ModelFamily, family_of
from sage.hrm_core.tasks.contract import Task
from sage.mailbox.clock import ManualClock, RealClock
from sage.mailbox.hub import Hub
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.report import SleepOutcome
from sage.runtime.sleep.puzzles.process.board import RUNNING, Board
from sage.runtime.sleep.puzzles.process.learner import LONGEST_DELAY_SECS, ProcessLearner
from sage.runtime.sleep.puzzles.process.plan import TrainerSetup, read_job
from sage.runtime.sleep.puzzles.process.stillness import Stillness
from sage.runtime.sleep.puzzles.process.worker import TrainerProcess
from sage.runtime.sleep.puzzles.store import JOURNAL, WEIGHTS, load_weights, restore_memory
from sage.runtime.solving.learner import Offer
from tests.runtime.sleep.puzzles.conftest import NAMES, Feed

LIMIT_SECS = 240.0


class Rig:
    """A learner on real mailboxes. `until` works between two checks, as a loop does between two ticks."""

    def __init__(self, tasks: list[Task], folder: Path, **settings: Any) -> None:
        config = SolverTrainingConfig.model_validate(
            {"offer_secs": 0.2, "min_puzzles": 16, "min_examined": 4, "night_steps": 3, **settings}
        )
        self.family: ModelFamily = family_of("sudoku", [task.spec for task in tasks], hidden_size=16)
        self.setup = TrainerSetup(
            stream="puzzles",
            names=NAMES[: len(tasks)],
            tasks=tuple(tasks),
            configs=self.family.configs,
            config=config,
            seed=0,
        )
        self.folder = folder
        self.clock = RealClock()
        self.hub = Hub(self.clock)
        self.learner = ProcessLearner(self.setup, folder, self.hub, self.clock)
        self.offers: list[Offer] = []

    def until(self, is_met: Callable[[], bool]) -> None:
        pause = threading.Event()
        end_ns = self.clock.now_ns() + int(LIMIT_SECS * 1e9)
        while not is_met():
            assert self.clock.now_ns() < end_ns, f"not met: {self.learner.facts()} {self.learner.problem}"
            self.learner.work(0)
            pause.wait(0.02)

    def until_offered(self, kind: str) -> Offer:
        found: list[Offer] = []

        def is_met() -> bool:
            offer = self.learner.collect()
            if offer is not None and offer.kind == kind:
                found.append(offer)
            return bool(found)

        self.until(is_met)
        return found[0]

    def kill(self) -> None:
        assert self.learner.pid is not None
        os.kill(self.learner.pid, signal.SIGKILL)


@pytest.fixture
def rig(tasks: list[Task], tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tasks[:1], tmp_path / "trainer")
    made.learner.open(made.family.weights())
    yield made
    made.learner.close()
    made.hub.close()


@pytest.mark.timeout(1200)
def test_a_life_with_kills_loses_nothing_and_copies_nothing(rig: Rig, feed: Feed) -> None:
    learner = rig.learner
    learner.note(feed(90))
    first = rig.until_offered("practice")
    assert first.num_steps > 0

    learner.pause(True)  # a step in progress ends before the second of these is acknowledged
    counts = []
    for number in range(90, 120, 10):
        learner.note(feed(10, first=number))
        rig.until(lambda number=number: learner.acknowledged == number + 10)  # type: ignore[misc]
        counts.append(learner.facts().num_steps)
    assert counts[1] == counts[2]
    learner.pause(False)
    rig.until(lambda: learner.facts().num_steps > counts[2])
    assert any(not torch.equal(tensor, first.weights[name]) for name, tensor in rig.family.weights().items())

    rig.kill()  # in practice
    learner.note(feed(60, first=120))
    rig.until(lambda: learner.facts().num_restarts == 1)
    rig.until(lambda: learner.acknowledged == 180)
    second = rig.until_offered("practice")
    assert second.num_steps >= first.num_steps

    learner.begin_night(77)  # killed in the night
    rig.until(lambda: learner._board.night_under_way == 1)
    rig.kill()
    failed = rig.until_offered("night")
    assert failed.report is not None
    assert failed.report.outcome is SleepOutcome.FAILED
    assert failed.report.tick == 77
    assert not learner.facts().is_sleeping

    learner.begin_night(78)
    night = rig.until_offered("night")
    assert night.report is not None
    assert night.report.tick == 78
    assert night.report.outcome is not SleepOutcome.FAILED
    assert night.report.num_examined > 4

    learner.begin_night(79)
    learner.abort_night()
    assert not learner.facts().is_sleeping
    rig.until_offered("practice")

    facts = learner.facts()
    assert facts.bytes_copied == 0
    assert facts.num_lost == 0
    assert facts.num_experiences == 180
    assert facts.num_restarts == 2
    learner.close()
    learner.close()
    trainer = rig.setup.build()
    restore_memory(rig.folder, trainer, run=1)
    assert trainer.memory.num_noted == 180


@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_running", [False, True])
def test_an_end_loses_no_experience(rig: Rig, feed: Feed, is_running: bool) -> None:
    """More than the mailbox holds; the process may not have begun to read it."""
    learner = rig.learner
    if is_running:
        learner.note(feed(30))
        rig.until(lambda: learner.acknowledged == 30)
    first = 30 if is_running else 0
    learner.note(feed(300 - first, first=first))
    learner.close()
    facts = learner.facts()
    assert (facts.num_experiences, facts.num_lost) == (300, 0)
    trainer = rig.setup.build()
    assert restore_memory(rig.folder, trainer, run=learner._run).noted == 300
    assert trainer.memory.num_noted == 300
    assert trainer.memory.levels[0].recent.columns["time_ns"].max() > 10**18


@pytest.mark.timeout(600)
def test_what_cannot_be_written_at_the_end_is_lost_and_counted(rig: Rig, feed: Feed) -> None:
    rig.kill()
    rig.learner.note(feed(20))
    (rig.folder / JOURNAL).unlink(missing_ok=True)
    (rig.folder / JOURNAL).mkdir()
    rig.learner.close()
    assert rig.learner.facts().num_lost == 20


def test_the_weights_in_use_at_the_end_are_those_that_a_night_begins_with(
    tasks: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the process offered last may have been refused."""
    monkeypatch.setattr(ProcessLearner, "_start", lambda _: None)
    rig = Rig(tasks[:1], tmp_path / "trainer")
    in_use = {name: tensor + 1 for name, tensor in rig.family.weights().items()}
    rig.learner.open(rig.family.weights())
    rig.learner.close(in_use)
    rig.learner.close(rig.family.weights())
    rig.hub.close()
    weights, _ = load_weights(rig.folder / WEIGHTS)
    assert weights.keys() == in_use.keys()
    assert all(torch.equal(tensor, in_use[name]) for name, tensor in weights.items())


def test_a_night_that_does_not_take_place_offers_no_weights(
    tasks: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It offered the last ones again, also those that were refused."""
    monkeypatch.setattr(ProcessLearner, "_start", lambda _: None)
    rig = Rig(tasks[:1], tmp_path / "trainer")
    rig.learner.open(rig.family.weights())
    rig.learner.begin_night(7)
    skipped = rig.learner.collect()
    assert skipped is not None
    assert skipped.report is not None
    assert skipped.report.outcome is SleepOutcome.SKIPPED
    assert skipped.weights is None
    assert rig.learner.collect() is None
    rig.learner.close()
    rig.hub.close()


def test_a_result_with_the_longest_reason_fits_the_mailbox(
    tasks: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a trainer in this process."""
    monkeypatch.setattr(ProcessLearner, "_start", lambda _: None)
    rig = Rig(tasks, tmp_path / "trainer")
    learner = rig.learner
    learner.open(rig.family.weights())
    job = read_job(rig.folder)
    assert job.link is not None
    board = Board.attach(job.link.board)
    process = TrainerProcess(rig.folder, job, job.link, board)
    board.state = RUNNING
    learner.begin_night(9)
    failed = learner._no_night(SleepOutcome.UNDECIDED, "why " * 50_000)
    assert failed.report is not None
    process._night = 1
    process._end_night(replace(failed, weights=process._trainer.weights()))
    process._work()
    found = learner.collect()
    assert found is not None
    assert found.report is not None
    assert found.report.outcome is SleepOutcome.UNDECIDED
    assert 1000 < len(found.report.reason) < 20_000
    assert found.weights is not None
    assert all(torch.equal(tensor, found.weights[name]) for name, tensor in rig.family.weights().items())
    process._store.close()
    learner.close()
    board.close()
    rig.hub.close()


def test_a_run_with_other_levels_has_a_folder_of_its_own(
    tasks: list[Task], feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessLearner, "_start", lambda _: None)
    setups: dict[str, TrainerSetup] = {}
    for level, name in ((0, "trainer"), (1, "trainer.2"), (0, "trainer"), (1, "trainer.2")):
        rig = Rig([tasks[level]], tmp_path / "trainer")
        rig.learner.open(rig.family.weights())
        assert rig.learner.folder == tmp_path / name
        rig.learner.note([replace(each, level=0) for each in feed(4, level=level)])
        rig.learner.close()
        assert rig.learner.facts().num_lost == 0
        rig.hub.close()
        setups[name] = rig.setup
    for name, setup in setups.items():
        trainer = setup.build()
        restore_memory(tmp_path / name, trainer, run=1)
        assert trainer.memory.num_noted == 8


@pytest.mark.timeout(600)
def test_ctrl_c_does_not_end_it_and_the_end_of_the_loop_does(rig: Rig) -> None:
    pid = rig.learner.pid
    assert pid is not None
    rig.until(lambda: rig.learner._board.state == 1)
    os.kill(pid, signal.SIGINT)
    rig.learner.work(0)
    assert rig.learner.pid == pid
    rig.learner.close()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.timeout(600)
def test_the_end_of_the_loop_ends_the_process(tasks: list[Task], tmp_path: Path) -> None:
    """The loop is a process of its own here, which is killed."""
    import subprocess
    import sys

    script = (
        "import sys; from pathlib import Path\n"
        "from tests.runtime.sleep.puzzles.process.test_process_learner import Rig\n"
        "from sage.hrm_core.tasks.catalogue import make_task\n"
        "rig = Rig([make_task('sudoku', size=4)], Path(sys.argv[1]))\n"
        "rig.learner.open(rig.family.weights())\n"
        "print(rig.learner.pid, flush=True)\n"
        "rig.clock.wait_until(rig.clock.now_ns() + 10**12)\n"
    )
    loop = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "trainer")], stdout=subprocess.PIPE, text=True
    )
    assert loop.stdout is not None
    pid = int(loop.stdout.readline())
    loop.kill()
    loop.wait()
    loop.stdout.close()
    pause = threading.Event()
    clock = RealClock()
    end_ns = clock.now_ns() + int(LIMIT_SECS * 1e9)
    while _is_running(pid) and clock.now_ns() < end_ns:
        pause.wait(0.02)
    assert not _is_running(pid)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_trainer_that_hangs_is_killed_and_its_night_ends(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = rig.learner
    rig.until(lambda: learner._board.state == RUNNING)
    assert learner.pid is not None
    os.kill(learner.pid, signal.SIGSTOP)
    learner.begin_night(5)
    with monkeypatch.context() as patch:
        patch.setattr("sage.runtime.sleep.puzzles.process.learner.HUNG_SECS", 0.2)
        failed = rig.until_offered("night")
    assert failed.report is not None
    assert failed.report.outcome is SleepOutcome.FAILED
    assert "made no step for 0.2 s and was killed" in failed.report.reason
    assert not learner.facts().is_sleeping
    rig.until(lambda: learner.facts().num_restarts == 1)


def test_only_time_in_which_the_session_looked_counts() -> None:
    stillness = Stillness()
    stillness.restart(0)
    assert [stillness.look(7, round(at * 1e9)) for at in (0.5, 1.0, 1.5)] == [0.0, 0.5, 1.0]
    assert stillness.look(7, round(900e9)) == 2.0  # the session was stopped itself
    assert stillness.look(8, round(900.5e9)) == 0.0
    assert stillness.look(8, round(901e9)) == 0.5
    stillness.restart(round(902e9))
    assert stillness.look(8, round(902.5e9)) == 0.0


def test_a_task_that_cannot_be_sent_is_refused(tasks: list[Task], tmp_path: Path) -> None:
    class Local(type(tasks[0])):  # type: ignore[misc]
        pass

    rig_tasks: list[Any] = [Local(tasks[0].config)]  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"set solver_training\.where to inline"):
        Rig(rig_tasks, tmp_path)


def test_a_trainer_that_cannot_start_for_days_is_tried_every_half_minute(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 1,025 tries the delay was no longer a number, and the loop ended."""
    learner, clock = rig.learner, ManualClock(rig.clock.now_ns())
    rig.kill()
    rig.until(lambda: learner.pid is None)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(learner, "_clock", clock)
    for _ in range(1100):
        clock.advance(int(LONGEST_DELAY_SECS * 1e9))
        learner.work(0)
    assert learner.facts().num_restarts == 1100
