"""The journal: whole lines, bounded, and a disk without space is a fault of its own."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorError, SensorUnavailable
from sage.sensors.driver.effector_driver import EffectorDriver
from sage.sensors.effectors.journal import JournalConfig, JournalEffector
from sage.sensors.effectors.null import NullConfig, NullEffector
from sage.sensors.testing.effector_conformance import check_effector


def journal(path: Path, context: SensorContext, **settings: Any) -> JournalEffector:
    return JournalEffector(JournalConfig(path=path, size=2, **settings), context)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def values(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=np.float32)


@pytest.mark.parametrize("sync", ["always", "second", "never"])
def test_each_action_is_a_line_at_once(tmp_path: Path, context: SensorContext, sync: str) -> None:
    effector = journal(tmp_path / "a.jsonl", context, sync=sync)
    effector.open()
    effector.apply(values(0.5, -3.0), 10)
    effector.apply(values(np.nan, 0.0), 11)
    one, other = lines(tmp_path / "a.jsonl")
    assert (one["stamp_ns"], one["requested"], one["done"]) == (10, [0.5, -3.0], [0.5, -1.0])
    assert (one["is_limited"], one["is_held"]) == (True, False)
    assert (other["requested"], other["done"], other["is_held"]) == ([None, 0.0], [0.5, -1.0], True)
    effector.close()


def test_what_is_there_stays_and_a_torn_line_is_cut_off(tmp_path: Path, context: SensorContext) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"stamp_ns": 1}\n{"stamp_ns": 2')
    effector = journal(path, context)
    effector.open()
    effector.apply(values(0, 0), 3)
    effector.close()
    assert [line["stamp_ns"] for line in lines(path)] == [1, 3]
    path.write_text("no end" * 20_000)
    effector.open()
    effector.close()
    assert path.read_text() == ""


def test_the_budget_holds_and_the_newest_lines_stay(tmp_path: Path, context: SensorContext) -> None:
    path, before = tmp_path / "a.jsonl", tmp_path / "a.jsonl.1"
    effector = journal(path, context, max_bytes=2048)
    effector.open()
    for stamp_ns in range(100):
        effector.apply(values(0, 0), stamp_ns)
        assert path.stat().st_size + (before.stat().st_size if before.exists() else 0) <= 2048
    effector.close()
    stamps = [line["stamp_ns"] for line in (*lines(before), *lines(path))]
    assert stamps == list(range(stamps[0], 100))


def test_a_full_disk_is_a_contained_fault(
    tmp_path: Path, context: SensorContext, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = EffectorDriver(journal(tmp_path / "a.jsonl", context), clock=clock, is_inline=True)
    driver.open()
    write = os.write

    def full(file: int, data: Any) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, bytes(data[:-20]))

    monkeypatch.setattr(os, "write", full)
    driver.begin(values(0, 0), 1)
    with pytest.raises(SensorError, match=r"a\.jsonl: No space left on device"):
        driver.finish()
    assert driver.num_faults == 1
    monkeypatch.undo()
    clock.advance(2_000_000_000)
    driver.begin(values(0, 0), 2)
    driver.finish()
    driver.close()
    assert [line["stamp_ns"] for line in lines(tmp_path / "a.jsonl")] == [2]


def test_a_new_file_that_cannot_be_made_is_a_fault_once(
    tmp_path: Path, context: SensorContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    effector = journal(path, context, max_bytes=2048)
    effector.open()
    done: list[int] = []

    def act(num: int) -> None:
        for _ in range(num):
            effector.apply(values(0, 0), len(done))
            done.append(len(done))

    def refuse(*args: Any, **options: Any) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    act(1)
    with monkeypatch.context() as patch:
        patch.setattr("os.open", refuse)
        with pytest.raises(SensorError, match="too many open files"):
            act(100)  # until a new file is due
    assert [line["stamp_ns"] for line in lines(path)] == done
    act(1)
    effector.close()
    assert [line["stamp_ns"] for line in (*lines(tmp_path / "a.jsonl.1"), *lines(path))] == done


def test_a_disk_that_refuses_the_last_write_gives_the_file_back(
    tmp_path: Path, context: SensorContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    effector = journal(tmp_path / "a.jsonl", context, sync="always")
    effector.open()

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="input/output error"):
        effector.close()
    assert effector._file == -1
    effector.close()


def test_a_path_that_cannot_be_written_is_refused_with_the_remedy(
    tmp_path: Path, context: SensorContext
) -> None:
    with pytest.raises(SensorUnavailable, match=r"is a directory: give a path"):
        journal(tmp_path, context).open()


@pytest.mark.parametrize("kind", ["journal", "null"])
def test_they_keep_the_contract(
    tmp_path: Path, context: SensorContext, clock: ManualClock, kind: str
) -> None:
    def make() -> JournalEffector | NullEffector:
        if kind == "null":
            return NullEffector(NullConfig(size=2, timeout_secs=10.0), context)
        return journal(tmp_path / "a.jsonl", context, timeout_secs=10.0)

    results = check_effector(make, clock=clock)
    assert not [f"{result.name}: {result.detail}" for result in results if not result.is_ok]
