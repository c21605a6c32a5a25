"""Nights beside waking: the spawned one equals the inline one, and whatever kills it leaves the old
weights.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from sage.errors import DataError
from sage.hrm_core.checkpoint.weights_file import save_model
from sage.mailbox.shared.memory.identity import my_identity
from sage.runtime.config import SleepConfig
from sage.runtime.report import SleepOutcome
from sage.runtime.sleep import sleeper as sleeper_module
from sage.runtime.sleep.consolidate import Night, SleepPlan, open_night, write_job
from sage.runtime.sleep.sleeper import EndedNight, Sleeper

SECOND = 1_000_000_000
PLAN = SleepPlan(
    num_steps=6,
    batch_size=4,
    learning_rate=1e-3,
    burn_in=2,
    num_segments=1,
    mask_probability=0.1,
    min_examined=16,
    block_secs=1.0,
    seed=3,
    tick=7,
)


@pytest.fixture
def night(model, stretches) -> Night:
    return Night(model=model, replay=stretches(8, 1), examined=stretches(6, 2), is_new=np.ones(6, dtype=bool))


def waited_for(sleeper: Sleeper) -> EndedNight:
    """The ended night, once the process has ended by itself or was killed."""
    assert sleeper._process is not None
    sleeper._process.wait(timeout=120)
    ended = sleeper.collect(1 * SECOND)
    assert ended is not None
    return ended


def spawned(directory: Path, night: Night, **changed: float) -> Sleeper:
    sleeper = Sleeper(SleepConfig(where="process", **changed), directory, 0)
    sleeper.begin(night, PLAN, 0)
    return sleeper


def test_the_spawned_night_gives_the_report_of_the_inline_one_and_neither_touches_the_live_weights(
    night: Night, tmp_path: Path
):
    before = copy.deepcopy(night.model.state_dict())
    inline = Sleeper(SleepConfig(where="inline"), tmp_path / "inline", 0)
    inline.begin(night, PLAN, 0)
    beside = spawned(tmp_path / "beside", night)
    assert beside.is_sleeping
    one, other = inline.collect(0), waited_for(beside)
    assert one is not None
    assert one.report.outcome is not SleepOutcome.FAILED
    assert repr(dataclasses.replace(one.report, wall_secs=0.0)) == repr(
        dataclasses.replace(other.report, wall_secs=0.0)
    )
    assert not beside.is_sleeping
    assert all(torch.equal(before[name], weight) for name, weight in night.model.state_dict().items())


def test_a_killed_night_is_reported_as_failed(night: Night, tmp_path: Path):
    sleeper = spawned(tmp_path, night)
    os.kill(sleeper._process.pid, signal.SIGKILL)
    ended = waited_for(sleeper)
    assert ended.candidate is None
    assert ended.report.outcome is SleepOutcome.FAILED
    assert "was ended by SIGKILL" in ended.report.reason
    assert ended.report.tick == PLAN.tick
    assert sleeper.collect(2 * SECOND) is None


class Ended:
    """A process that ended; what it left behind is the test's."""

    def __init__(self, status: int) -> None:
        self._status = status

    def poll(self) -> int:
        return self._status


@pytest.fixture
def left_behind(night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An accepted night's folder, as if its process had just ended with `status`; `spoil` alters it first."""

    def leave(spoil, status: int = 0) -> EndedNight:
        sleeper = Sleeper(SleepConfig(where="process"), tmp_path / "sleep", 0)
        monkeypatch.setattr("sage.runtime.sleep.sleeper.subprocess.Popen", lambda *_, **__: Ended(status))
        sleeper.begin(night, PLAN, 0)
        monkeypatch.undo()
        directory = sleeper._directory
        save_model(directory / "candidate.safetensors", night.model)
        (directory / "report.json").write_text(
            '{"outcome": "accepted", "reason": "", "tick": 7, "num_replayed": 8, "num_examined": 6,'
            ' "num_steps": 6}'
        )
        spoil(directory)
        ended = sleeper.collect(SECOND)
        assert ended is not None
        return ended

    return leave


def test_an_accepted_night_returns_its_candidate_and_leaves_none_to_the_next_run(left_behind, tmp_path):
    ended = left_behind(lambda directory: None)
    assert ended.report.outcome is SleepOutcome.ACCEPTED
    assert ended.candidate is not None
    assert not list(tmp_path.rglob("candidate.safetensors"))


def test_a_job_that_is_left_is_the_only_one_and_is_not_run(night: Night, tmp_path: Path):
    sleeper = spawned(tmp_path, night)
    process, first = sleeper._process, sleeper._directory
    sleeper.leave(night, PLAN)
    assert process.poll() == -signal.SIGKILL
    assert not sleeper.is_sleeping
    (path,) = tmp_path.glob("*/job.json")
    assert path.parent != first
    opened = open_night(path.parent)
    assert opened.plan == PLAN
    assert len(opened.night.replay) == len(night.replay)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_candidate_fails_the_night(left_behind, share: float):
    def cut(directory: Path) -> None:
        path = directory / "candidate.safetensors"
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    ended = left_behind(cut)
    assert ended.candidate is None
    assert ended.report.outcome is SleepOutcome.FAILED
    assert "cannot be read" in ended.report.reason


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"outcome": "perfect"}'])
def test_an_invalid_report_fails_the_night(left_behind, content: str):
    ended = left_behind(lambda directory: (directory / "report.json").write_text(content))
    assert ended.candidate is None
    assert ended.report.outcome is SleepOutcome.FAILED


@pytest.mark.parametrize("status", [0, 1, -9])
def test_a_deleted_folder_fails_the_night_not_the_loop(left_behind, status: int):
    ended = left_behind(shutil.rmtree, status)
    assert ended.report.outcome is SleepOutcome.FAILED


def test_a_missing_job_file_fails_the_night_with_its_name(night: Night, tmp_path: Path, monkeypatch):
    write = "sage.runtime.sleep.sleeper.write_job"

    def without_job(directory: Path, *rest: object) -> None:
        write_job(directory, *rest)
        (directory / "job.json").unlink()

    monkeypatch.setattr(write, without_job)
    ended = waited_for(spawned(tmp_path, night))
    assert ended.report.outcome is SleepOutcome.FAILED
    assert "status 2" in ended.report.reason
    assert "job.json is missing" in " ".join(ended.report.reason.split())


def test_a_night_that_takes_too_long_is_ended(night: Night, tmp_path: Path):
    sleeper = spawned(tmp_path, night, timeout_secs=5)
    process = sleeper._process
    assert sleeper.collect(4 * SECOND) is None
    ended = sleeper.collect(5 * SECOND)
    assert ended is not None
    assert ended.report.outcome is SleepOutcome.FAILED
    assert "not done within 5 s" in ended.report.reason
    assert process.poll() == -signal.SIGKILL


def test_an_aborted_night_leaves_no_process(night: Night, tmp_path: Path):
    sleeper = spawned(tmp_path, night)
    process = sleeper._process
    sleeper.abort()
    assert process.poll() == -signal.SIGKILL
    assert not sleeper.is_sleeping
    sleeper.abort()


def test_a_night_of_a_run_that_was_killed_does_not_begin(night: Night, tmp_path: Path, monkeypatch):
    """Its process is told which run started it, and ends with that one."""
    nobody = my_identity() + (1 << 22)
    monkeypatch.setattr(sleeper_module, "my_identity", lambda: nobody)
    sleeper = spawned(tmp_path, night)
    done = waited_for(sleeper)
    assert done.report.outcome is SleepOutcome.FAILED
    assert "report.json" in done.report.reason
    assert done.candidate is None


def test_no_room_for_the_snapshot_fails_the_night(night: Night, tmp_path: Path):
    (tmp_path / "file").write_text("")
    sleeper = Sleeper(SleepConfig(where="process"), tmp_path / "file", 0)
    sleeper.begin(night, PLAN, 0)
    ended = sleeper.collect(0)
    assert ended is not None
    assert ended.report.outcome is SleepOutcome.FAILED
    assert "could not start" in ended.report.reason


def test_two_nights_never_share_a_folder(night: Night, tmp_path: Path):
    """What a killed run left asleep may still write: not into the night of its successor."""
    sleeper = spawned(tmp_path, night)
    first = sleeper._directory
    sleeper.abort()
    sleeper.begin(night, PLAN, 0)
    assert sleeper._directory != first
    assert not first.exists()
    sleeper.abort()


def test_nights_come_when_they_are_due_and_one_at_a_time(night: Night, tmp_path: Path):
    sleeper = Sleeper(SleepConfig(where="inline", first_after_secs=10, every_secs=100), tmp_path, 0)
    assert not sleeper.is_due(9 * SECOND)
    assert sleeper.is_due(10 * SECOND)
    sleeper.begin(night, PLAN, 10 * SECOND)
    assert not sleeper.is_due(1000 * SECOND)
    sleeper.collect(10 * SECOND)
    assert not sleeper.is_due(109 * SECOND)
    assert sleeper.is_due(110 * SECOND)


def test_a_skipped_night_has_a_reason_and_is_due_sooner(tmp_path: Path):
    sleeper = Sleeper(SleepConfig(first_after_secs=10, every_secs=100), tmp_path, 0)
    ended = sleeper.skip(PLAN, "nothing to replay", 10 * SECOND)
    assert not sleeper.is_sleeping
    assert ended.report.outcome is SleepOutcome.SKIPPED
    assert ended.report.reason == "nothing to replay"
    assert sleeper.is_due(20 * SECOND)


def test_switched_off_it_is_never_due(tmp_path: Path):
    assert not Sleeper(SleepConfig(enabled=False), tmp_path, 0).is_due(1 << 60)


class FailingDreamer:
    """Its dream cannot be opened: a folder that is damaged, an environment that is gone."""

    num_steps = 0

    def prepare(self, directory: Path, seed: int) -> None: ...

    def open(self, directory: Path):
        raise DataError(f"{directory}: damaged")


def test_a_dream_that_fails_is_a_failed_night_and_the_loop_goes_on(night: Night, tmp_path: Path):
    sleeper = Sleeper(SleepConfig(where="inline"), tmp_path / "sleep", 0, FailingDreamer())
    sleeper.begin(night, PLAN, 0)
    ended = sleeper.collect(0)
    assert ended is not None
    assert ended.candidate is None
    assert ended.report.outcome is SleepOutcome.FAILED
    assert "its dream failed: " in ended.report.reason
    assert not sleeper.is_sleeping
