"""Shared mailboxes in several processes: killed and stopped ones, survivors that go on, bytes that are right,
no copies.

Each soak runs in a process of its own (`soak`, `kills`), which raises with the reason when anything was
wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys

import harness
import pytest
from _mailbox_kills import REAPED, SCENES, kills
from _mailbox_ours import OurPeer
from _mailbox_proof import prove_zero_copy
from _mailbox_rounds import BY_64, CALL, LARGE_PLACED, LATENCY, PLACED, SENT, SINGLE, Plan, run_rounds
from _mailbox_soak import SoakPlan, soak


@pytest.mark.slow
def test_our_own_pair_does_every_kind_of_work() -> None:
    tally, failed = run_rounds([(OurPeer("block", num_idle=2), True)], Plan(num_rounds=1, slice_secs=0.002))
    assert not failed
    name = OurPeer("block", num_idle=2).name
    assert all(
        tally.median(name, work) for work in (LATENCY, SINGLE, BY_64, PLACED, LARGE_PLACED, SENT, CALL)
    )


def test_both_processes_see_one_physical_page() -> None:
    report = prove_zero_copy()
    assert report["is_same_page"]
    assert report["bytes_copied"] == 0


@pytest.mark.parametrize("mode", ["lossy", "lossless"])
def test_a_stream_survives_kills_and_stops(mode: str) -> None:
    report = soak(SoakPlan(mode=mode, num_messages=30_000, num_kills=12, max_secs=60.0, seed=7))
    assert report["num_pushed"] >= 30_000
    assert report["num_kills"] >= 12
    assert all(
        delivered + lost == report["num_pushed"]
        for delivered, lost in zip(report["delivered"], report["lost"])
    )
    if mode == "lossless":
        assert report["lost"] == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["lossy", "lossless"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_million_records_survive_a_hundred_kills(mode: str, seed: int) -> None:
    report = soak(SoakPlan(mode=mode, num_messages=1_000_000, num_kills=100, seed=seed))
    assert report["num_pushed"] >= 1_000_000
    assert report["num_kills"] >= 100


def test_what_a_killed_process_held_or_waited_for_stops_nobody() -> None:
    waited = kills(num_each=2, seed=3)
    assert set(waited) == set(SCENES) >= set(REAPED)
    assert all(len(each) == 2 for each in waited.values())


@pytest.mark.slow
def test_the_quick_benchmark_ends_with_its_document() -> None:
    command = [sys.executable, str(harness.ROOT / "implementation" / "bench" / "mailbox.py"), "--quick"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=280)
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["bench"] == "mailbox"
    assert report["results"]["failed"] == {}
    assert report["results"]["faults"]["problems"] == []
    owed = {bar["name"] for bar in report["bars"] if bar["met"] is None}
    peers = {"iceoryx2", "torch's"} if "iceoryx2 spin" in report["results"]["absent"] else set()
    assert all(name.startswith("CUDA") or peers & set(name.split()) for name in owed)
