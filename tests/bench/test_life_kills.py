"""The bench of kills: what it reads of a process, its bars, and a short life."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from _life_kills import QUICK, Life, Scale, holds, live
from _life_kills_report import bars, plain, tables

from sage.mailbox.clock import RealClock
from sage.mailbox.hub import Hub


def test_a_loan_and_a_lease_of_a_process_are_seen() -> None:
    hub = Hub(RealClock())
    box = hub.shared_focus("box", slots=2, slot_bytes=8)
    pid = os.getpid()
    assert not holds(box, pid)
    with box.try_loan((8,), "uint8") as loan:
        assert holds(box, pid)
        assert not holds(box, pid + 1)
        loan.publish(stamp_ns=1, sequence=1)
    assert not holds(box, pid)
    with box.receive(timeout_secs=1):
        assert holds(box, pid)
    assert not holds(box, pid)
    hub.close()


def test_bars_count_what_a_life_lost() -> None:
    life = Life(kills=Counter(start=60, night=40), ticks=[(2.0, 0.1, True), (1.0, 0.0, False)] * 1000)
    life.acknowledged = life.on_disk = life.experiences = 7
    met = {bar.name: bar.is_met for bar in bars(life, Scale())}
    assert met.pop("p99 of a tick, with kills / without") is False
    assert all(met.values())
    assert json.loads(json.dumps(plain(life)))["ticks"]["without"]["p99_ms"] == 1.0
    assert len(tables(life)) == 2

    slow = Life(kills=life.kills, ticks=[(2.0, 0.1, True), (1500.0, 0.0, False)] * 1000)
    assert bars(slow, Scale())[1].is_met is None

    life.on_disk, life.lost = 6, 2
    lost = [bar.name for bar in bars(life, Scale()) if bar.is_met is False and "acknowledged" in bar.name]
    assert len(lost) == 2
    assert bars(Life(), QUICK)[0].is_met is None
    assert bars(Life(), QUICK)[1].is_met is None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_short_life_loses_nothing(tmp_path: Path) -> None:
    life = live(tmp_path, Scale(num_kills=5, kills_a_phase=5, least_calm_ticks=40, max_secs=300.0))
    assert life.kills.total() == 5
    assert life.restarts >= 5
    assert life.lost == life.processes_left == life.shared_left == life.files_left == 0
    assert life.damaged == []
    assert life.acknowledged == life.on_disk == life.experiences > 0
