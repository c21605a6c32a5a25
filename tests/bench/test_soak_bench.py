"""The soak benchmark: kills while a state directory is written, and what counts as a loss."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from _soak_forks import Fork, parent_of
from _soak_kills import Tally, kills
from _soak_processes import left_in_shm, still_there
from _soak_session import heap_bytes
from _soak_ticks import WARM_TICKS, Record, SoakPlan, joined, slopes, soak
from soak import tick_bars

from sage.app.session.leftovers import remove_leftovers
from sage.mailbox.clock import RealClock
from sage.mailbox.shared.focus.mailbox import SharedFocus

FOUND = {
    "kind": "recovered",
    "message": "continued from tick 8",
    "memory": 5,
    "digest": "a",
    "audit": 3,
    "trainer": 4,
    "schemes": {"s1": 1},
    "stored": {"soak": 9},
    "problems": [],
}
WRITTEN = {
    "kind": "acknowledged",
    "memory": 5,
    "audit": 3,
    "trainer": 4,
    "schemes": {"s1": 1},
    "stored": {"soak": 9},
    "problem": "",
}


@pytest.mark.parametrize(
    "lost",
    [
        {"memory": 4},
        {"audit": 2},
        {"trainer": 3},
        {"schemes": {"s1": 0}},
        {"schemes": {}},
        {"stored": {"soak": 8}},
        {"digest": "b"},
        {"problems": ["a damaged file"]},
    ],
)
def test_whatever_a_restart_lacks_is_a_problem(lost: dict[str, Any]) -> None:
    for found, num in ((FOUND, 0), (FOUND | lost, 1)):
        tally = Tally()
        tally.note({"kind": "memory", "sequence": 5, "digest": "a"})
        tally.note(WRITTEN)
        tally.note(found)
        assert len(tally.problems) == num


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_while_everything_is_written_lose_nothing(tmp_path: Path) -> None:
    found = kills(tmp_path / "state", 20, seed=1)
    assert found["problems"] == []
    assert found["num_kills"] == 20
    assert found["recoveries"] > 5
    assert found["memories_compared"] > 0


def test_a_fork_is_killed_and_its_complete_lines_are_read() -> None:
    def work(out: int) -> None:
        os.write(out, b'{"at": 1}\n{"at": 2}\n{"at"')
        signal.pause()

    fork = Fork.of(work)
    fork.read_for(30.0, until=b'{"at": 2}')
    assert fork.read(0.05) == b""
    assert not fork.is_ended
    assert os.WTERMSIG(fork.end(is_killed=True)) == signal.SIGKILL
    assert fork.lines() == [{"at": 1}, {"at": 2}]


def test_a_fork_that_fails_has_a_status_and_a_parent_that_fails_is_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def work(out: int) -> None:
        os.write(out, b'{"at": 1}\n')
        raise ValueError("a bad life")

    fork = Fork.of(work)
    fork.read_for(30.0)
    assert fork.is_ended
    assert os.waitstatus_to_exitcode(fork.end(is_killed=False)) == 3
    assert fork.lines() == [{"at": 1}]
    assert "a bad life" in capfd.readouterr().err
    (tmp_path / "script.py").write_text("import sys\nprint('{}')\nsys.exit(len(sys.argv) > 1)\n")
    assert parent_of(str(tmp_path / "script.py")) == {}
    with pytest.raises(RuntimeError, match=r"script\.py x"):
        parent_of(str(tmp_path / "script.py"), "x")


def test_a_slope_is_found_within_lives_and_its_interval_holds_it() -> None:
    chance = np.random.default_rng(0)
    samples = []
    for life, start in ((1, 5_000_000), (2, 1_000_000)):
        for tick in range(WARM_TICKS - 1000, WARM_TICKS + 7000, 250):
            noise = int(chance.normal(0, 2000))
            samples.append([life, tick, start + 3 * tick + noise, None, 40, 7 + (tick >= WARM_TICKS)])
    found = slopes(samples)
    memory = found["resident_bytes"]
    assert memory["low"] <= 30_000 <= memory["high"]
    assert memory["low"] > 20_000
    assert found["descriptors"]["median"] == found["descriptors"]["high"] == 0
    assert found["threads"]["median"] == 0  # they start before
    assert found["heap_bytes"]["median"] is None  # not every C library counts them
    assert slopes([])["threads"]["median"] is None


def test_the_bytes_of_the_heap_are_those_in_use() -> None:
    before = heap_bytes()
    if before is None:
        pytest.skip("this C library does not count the bytes of its heap")
    blocks = [np.ones(40 << 20, np.uint8), *(np.ones(1 << 10, np.uint8) for _ in range(4096))]
    held = heap_bytes()
    assert held is not None
    assert held - before > 40 << 20
    del blocks
    freed = heap_bytes()
    assert freed is not None
    assert held - freed > 40 << 20


def test_what_a_life_lacks_is_a_problem_and_a_record_reads_back(tmp_path: Path) -> None:
    tick = {"kind": "tick", "tick": 7, "memory": 5, "appended": 6, "audit": 7, "stored": 3}
    found = {"kind": "recovered", "memory": 5, "audit": 7, "stored": 3, "problems": []}
    for lost, num in (({}, 0), ({"memory": 4}, 1), ({"audit": 6, "stored": 0}, 2)):
        record = Record(seed=3)
        record.note_life([found | {"memory": 0, "audit": 0, "stored": 0}, tick])
        record.note_life([found | lost, tick | {"tick": 2}])
        assert len(record.problems) == num
        assert (record.ticks, record.lives) == (9, 2)
        record.write(tmp_path)
        assert Record.read(tmp_path, 3).plain() == record.plain()


def test_a_damaged_file_is_one_problem_of_all_lives() -> None:
    record = Record()
    found = {"kind": "recovered", "memory": 0, "audit": 0, "stored": 0, "problems": ["store.sqlite.damaged"]}
    for _ in range(3):
        record.note_life([found])
    assert record.problems == ["life 1: store.sqlite.damaged"]


def test_state_directories_side_by_side_are_one_result() -> None:
    def part(seed: int, step: int) -> dict[str, Any]:
        rows = [[1, WARM_TICKS + 100 * at, step * at, 7, 5, 2] for at in range(20)]
        record = Record(seed=seed, ticks=5000, lives=1, problems=["life 1: x"] * seed, samples=rows)
        record.counts.update(killed=1, **{f"seed {seed}": 1})
        return record.plain()

    found = joined([part(0, 10), part(1, 10)])
    assert (found["parts"], found["ticks"], found["lives"]) == (2, 10000, 2)
    assert found["counts"] == {"killed": 2, "seed 0": 1, "seed 1": 1}
    assert found["problems"] == ["part 1, life 1: x"]
    assert {row[0] for row in found["samples"]} == {1, 2}  # pairs are within one life
    assert found["slopes"]["resident_bytes"]["median"] == pytest.approx(1000.0)
    assert found["slopes"]["resident_bytes"]["num_pairs"] == 2 * 190
    assert {bar.is_met for bar in tick_bars(found) if bar.name.startswith("growth")} == {None}  # too few


def test_growth_is_compared_over_many_samples() -> None:
    rows = [[1, WARM_TICKS + 100 * at, at, 7, 5, 2] for at in range(60)]
    found = joined([Record(seed=0, ticks=5000, lives=1, samples=rows).plain()])
    met = {bar.name.split(",")[0]: bar.is_met for bar in tick_bars(found)}
    assert met["growth of resident bytes"] is False
    assert met["growth of threads"] is True


def test_a_process_that_stays_after_its_session_is_a_problem_and_is_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        found = [[child.pid, psutil.Process(child.pid).create_time()], [child.pid, 1.0]]
        assert still_there(found, patience_secs=0.0) == [child.pid]
        assert child.wait(30.0) == -signal.SIGKILL
        assert still_there(found, patience_secs=0.0) == []
    finally:
        child.kill()
        child.communicate()
    record = Record()
    record.note_life([{"kind": "problem", "text": "a death was not counted"}])
    record.note_processes([{"kind": "recovered"}], [os.getpid()])
    assert record.problems == ["life 1: a death was not counted"]


def test_a_session_removes_the_mailboxes_of_killed_ones(tmp_path: Path) -> None:
    """Made in a child that is killed; those of living processes stay."""
    mine = SharedFocus.create(f"test.{os.getpid()}.mine", clock=RealClock(), slot_bytes=64, engine="plain")
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        SharedFocus.create(f"{os.getpid()}-x.dead", clock=RealClock(), slot_bytes=64, engine="plain")
        os.write(writable, b"1")
        signal.pause()
    assert os.read(readable, 1) == b"1"
    assert left_in_shm(child) == [f"sage.{child}-x.dead"]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    record = Record()
    record.note_processes([{"kind": "recovered"}], [child])
    assert record.problems == [f"life 1: sage.{child}-x.dead stays in /dev/shm"]
    remove_leftovers()  # or a session of a test beside this one did
    assert left_in_shm(child) == []
    mine.send(np.zeros(4, np.float32), stamp_ns=1, sequence=1)
    mine.close()
    mine.unlink()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ten_minutes_under_faults_lose_nothing_and_do_not_grow(tmp_path: Path) -> None:
    found = soak(tmp_path, SoakPlan(minutes=10.0, ticks_a_kill=5000, warm_ticks=3000))
    assert found["problems"] == []
    assert found["ticks"] > 1000
    assert found["counts"]["restarts that recovered"] > 1
    assert found["counts"]["full disk"] > 0
    assert found["counts"]["lives with processes"] > 0
    assert any(name.startswith("deaths counted: ") for name in found["counts"])
    assert found["slopes"]["descriptors"]["median"] in (None, 0.0)
    assert found["slopes"]["threads"]["median"] in (None, 0.0)
