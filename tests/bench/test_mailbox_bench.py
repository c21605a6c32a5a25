"""The benchmark of mailboxes: its checks find what is wrong, its pairs talk, and a pair that fails leaves
alone.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest
from _mailbox_crowd import Board, Crowd, Wrong
from _mailbox_ends import BLOCK, NUM_RECORDS, Checker, is_installed, record_table
from _mailbox_fan import fan_out, fans_table
from _mailbox_faults import Faults
from _mailbox_kills import Waited
from _mailbox_lame import LamePeer
from _mailbox_report import CUDA_BARS, best_peer, describe, make_bars, tables
from _mailbox_rounds import BY_64, LATENCY, PLACED, SENT, SINGLE, Plan, Tally, run_rounds
from _mailbox_stdlib import PipePeer
from _mailbox_witness import Witness, compare, make_records

TINY = Plan(num_rounds=1, slice_secs=0.002)


def test_pairs_take_turns_and_one_that_fails_leaves_alone_with_its_reason() -> None:
    tally, failed = run_rounds(
        [(LamePeer("lame"), False), (LamePeer("dead"), True), (PipePeer(), False)], TINY
    )
    assert set(failed) == {"lame", "dead"}
    assert "no such thing here" in failed["lame"]
    assert "far process died" in failed["dead"]
    assert tally.median("Pipe", LATENCY) > 0.0
    assert tally.median("Pipe", SINGLE) > 0.0


def test_a_peer_whose_package_is_missing_is_named_absent() -> None:
    @dataclass(frozen=True)
    class NowherePeer(PipePeer):
        package: str = "no_such_package_anywhere"

    assert not is_installed(NowherePeer())
    table = tables(Tally(), ["nowhere"], {}, made_faults())[0]
    assert ("nowhere", "absent") in [row[:2] for row in table.rows]


def test_the_checker_finds_a_changed_byte_and_a_missing_record() -> None:
    table, checker = record_table(), Checker()
    for start in range(0, 2 * NUM_RECORDS, BLOCK):  # past the table's end, where it begins again
        at = start % NUM_RECORDS
        checker.check(table[at : at + BLOCK].tobytes())
    assert checker.num_received == 2 * NUM_RECORDS
    checker.check_at(table.ctypes.data, table[:BLOCK].nbytes)
    with pytest.raises(ValueError, match=f"number {2 * NUM_RECORDS + BLOCK} on"):
        checker.check_at(table.ctypes.data, table[:BLOCK].nbytes)
    checker = Checker()
    torn = bytearray(table[:BLOCK].tobytes())
    torn[-1] ^= 1
    with pytest.raises(ValueError, match="number 0 on"):
        checker.check(bytes(torn))
    with pytest.raises(ValueError, match="not the ones"):
        checker.check(table[1 : BLOCK + 1].tobytes())


def test_ratios_are_taken_within_rounds() -> None:
    tally = Tally()
    for load in (1.0, 10.0, 2.0):  # a busy second round strikes both
        tally.add_times("a", LATENCY, [load * 2])
        tally.add_times("b", LATENCY, [load * 4])
    assert tally.ratio(("a", LATENCY), ("b", LATENCY)) == pytest.approx(0.5)
    assert tally.ratio(("a", LATENCY), ("c", LATENCY)) is None


def made_faults(*problems: str) -> Faults:
    waits = [Waited(since_kill_ms=3.0, since_end_ms=ms) for ms in (1.0, 2.0)]
    stream = {"mode": "lossy", "num_kills": 3, "num_stops": 2, "num_pushed": 1000}
    return Faults(streams=(stream,), scenes={"holding every slot on loan": waits}, problems=problems)


def made_tally() -> Tally:
    tally = Tally()
    for pair, micros, per_sec in (
        ("sage spin", 3.0, 6e5),
        ("sage block", 20.0, 6e5),
        ("iceoryx2 spin", 8.0, 2e5),
        ("Pipe", 21.0, 1e5),
    ):
        tally.add_times(pair, LATENCY, [micros] * 10)
        tally.add_rate(pair, SINGLE, per_sec, 1000)
    tally.add_rate("sage block", BY_64, 9e6, 1000)
    return tally


def test_a_bar_without_its_peer_is_owed_and_one_with_it_is_judged() -> None:
    bars = {bar.name: bar for bar in make_bars(made_tally(), {"is_same_page": True}, made_faults(), {})}
    assert bars["256 B, spinning, over iceoryx2"].is_met is True
    assert bars["256 B, blocking, over Pipe"].value == pytest.approx(20 / 21)
    assert bars["256 B, blocking, over iceoryx2 + event"].is_met is None
    assert bars["zero copy: a nonce written after the hand-over is read"].is_met is True
    assert bars[
        "records/s by 64, every byte checked, over the best peer's a message a record"
    ].value == pytest.approx(45.0)
    assert best_peer(made_tally(), SINGLE) == "iceoryx2 spin"
    proof, faults, best = {"is_same_page": True}, made_faults(), "the best peer's a message a record"
    for peers, value in (((), 45.0), (("Pipe",), 45.0), (("Pipe", "zmq ipc"), None)):
        (bar,) = (each for each in make_bars(made_tally(), proof, faults, {}, peers) if best in each.name)
        assert bar.value == (None if value is None else pytest.approx(value)), "zmq ipc has no figure"
    assert bars["single records/s over iceoryx2, the worse of spinning and blocking"].is_met is None
    assert [bars[name].is_met for name, _, _ in CUDA_BARS] == [None] * len(CUDA_BARS)


def test_a_kill_that_broke_something_misses_its_bars() -> None:
    broken = Faults(streams=(), scenes={}, problems=("wrong: 3 of 64 records torn",))
    bars = [
        bar
        for bar in make_bars(made_tally(), {"is_same_page": False}, broken, {})
        if "kill" in bar.name or "nonce" in bar.name
    ]
    assert [bar.is_met for bar in bars] == [False, False, False]
    assert math.isnan(bars[-1].value)


def test_what_is_told_is_plain_json_with_the_same_bars_whatever_is_absent() -> None:
    tally, faults = made_tally(), made_faults()
    report = harness.to_json({"rows": describe(tally), "faults": faults.describe()})
    json.dumps(report, allow_nan=False)
    assert {row["pair"] for row in report["rows"]} == {"sage spin", "sage block", "iceoryx2 spin", "Pipe"}
    proof = {"is_same_page": True}
    assert [bar.name for bar in make_bars(tally, proof, faults, {})] == [
        bar.name for bar in make_bars(Tally(), proof, faults, {})
    ]


def test_a_witness_finds_a_torn_record_and_one_of_another_producer() -> None:
    records = make_records(3, 10, 5)
    Witness(is_from_start=False).see(records, lost=0, first_ticket=0)
    records["payload"][2, 100] ^= 1
    with pytest.raises(Wrong, match="1 of 5 records torn, first 3:12"):
        Witness(is_from_start=False).see(records, lost=0, first_ticket=0)
    foreign = make_records(3, 10, 5)
    foreign["producer"][4] = 4
    with pytest.raises(Wrong, match="torn, first 4:14"):
        Witness(is_from_start=False).see(foreign, lost=0, first_ticket=0)


def test_a_witness_finds_a_record_that_comes_twice_or_late() -> None:
    witness = Witness(is_from_start=True)
    witness.see(make_records(1, 0, 4), lost=0, first_ticket=0)
    with pytest.raises(Wrong, match="twice, or out of order"):
        witness.see(make_records(1, 3, 2), lost=0, first_ticket=4)


def test_a_witness_finds_a_gap_that_was_not_told() -> None:
    witness = Witness(is_from_start=True)
    witness.see(make_records(1, 0, 4), lost=0, first_ticket=0)
    with pytest.raises(Wrong, match="ticket 6 follows 4, with 1 reported lost"):
        witness.see(make_records(1, 6, 2), lost=1, first_ticket=6)


def told_by(*batches: tuple[int, int, int, int], lost: int = 0) -> dict[str, Any]:
    """batches: (producer, first sequence, how many, reported lost before)."""
    witness, ticket = Witness(is_from_start=True), 0
    for producer, first, num, lost_before in batches:
        ticket += lost_before
        witness.see(make_records(producer, first, num), lost=lost_before, first_ticket=ticket)
        ticket += num
    witness.see(make_records(0, 0, 0), lost=lost, first_ticket=ticket)
    report: dict[str, Any] = json.loads(json.dumps(witness.tell()))
    return report


def board_of(path: Path, *pushed: tuple[int, int]) -> Board:
    """pushed: (acknowledged, intended) of each producer."""
    board = Board(path)
    for acknowledged, intended in pushed:
        incarnation = board.next_incarnation()
        board.intend(incarnation, intended)
        board.acknowledge(incarnation, acknowledged)
    return board


def test_accounts_that_close_tell_how_much_was_pushed(tmp_path: Path) -> None:
    board = board_of(tmp_path / "board", (10, 10), (6, 8))  # the second was killed in a push of two
    saw_all = told_by((0, 0, 10, 0), (1, 0, 8, 0))
    missed_some = told_by((0, 4, 6, 4), (1, 0, 5, 0), lost=3)
    assert compare([saw_all, missed_some], board, is_lossless=False) == 18


def test_accounts_that_do_not_close_are_wrong(tmp_path: Path) -> None:
    board = board_of(tmp_path / "board", (10, 10))
    with pytest.raises(Wrong, match="differs between subscribers"):
        compare([told_by((0, 0, 10, 0)), told_by((0, 0, 9, 0))], board, is_lossless=False)
    with pytest.raises(Wrong, match="9 records were in the ring"):
        compare([told_by((0, 0, 9, 0))], board, is_lossless=False)
    with pytest.raises(Wrong, match="never pushed"):
        compare([told_by((0, 0, 5, 0), (0, 6, 5, 0))], board, is_lossless=False)
    with pytest.raises(Wrong, match="lossless ring"):
        compare([told_by((0, 1, 9, 1))], board, is_lossless=True)


def test_a_worker_that_fails_is_named_with_its_traceback(tmp_path: Path) -> None:
    crowd = Crowd(tmp_path)

    def fail() -> None:
        raise Wrong("a torn record")

    crowd.start("victim", fail)
    with pytest.raises(Wrong, match=r"victim \(pid \d+\) ended by itself(?s:.)*a torn record"):
        crowd.join("victim", 20.0)


def test_pipes_carry_a_frame_and_its_marks_are_read() -> None:
    tally, failed = run_rounds([(PipePeer(), True)], TINY)
    assert not failed
    assert tally.median("Pipe", SENT) > 0.0
    assert tally.median("Pipe", PLACED) is None  # a pipe has no memory in which to place
    assert np.isfinite(tally.median_p99("Pipe", SENT))


def test_a_fan_reaches_every_subscriber_over_every_topic() -> None:
    per_sec = fan_out(2, 3, 6 * BLOCK)
    assert per_sec > 0.0
    row = {"num_subscribers": 2, "num_topics": 3, "records_per_sec": 1000.0}
    assert fans_table([row]).rows == (("2", "3", "1,000", "2,000"),)
