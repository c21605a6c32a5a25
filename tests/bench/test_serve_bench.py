"""`sage bench serve`: the plain loop gives what `sage serve` gives; bars are medians over pairs of rounds."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra web is not installed")

from _serve_peer import PlainLoop
from serve import OURS, PEER, Round, bars_of, body_of, puzzle_texts, ratios, read_reply

from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.solving.settings import SolveSettings


def test_the_plain_loop_solves_as_the_package_does() -> None:
    inference = HRMInference("sudoku4")
    assert inference.task is not None
    cells = inference.task.sample(3, np.random.default_rng(0)).inputs
    settings = SolveSettings(halt="verifier", max_segments=16)
    loop = PlainLoop(inference)
    found = [loop.submit(row, settings).result(timeout=60) for row in cells]
    failed = loop.submit(cells[0][:3], settings)
    assert failed.exception(timeout=60) is not None
    assert loop.is_running
    loop.close()
    assert not loop.is_running
    own = inference.solve_cells(cells, halt="verifier", max_segments=16)
    assert [each.is_verified for each in found] == own.is_verified.tolist()
    assert [each.num_segments for each in found] == own.num_segments.tolist()
    assert np.array_equal([each.cells for each in found], own.answers)


def a_round(server: str, clients: int, per_sec: float, p99: float) -> Round:
    return Round(server=server, clients=clients, num=1, per_sec=per_sec, p50=1.0, p99=p99, solved=1.0)


def test_bars_are_medians_over_pairs() -> None:
    rounds = []
    for clients, factor in ((1, 1.0), (8, 1.4), (64, 2.0)):
        for scale in (0.5, 1.0, 3.0):  # the machine's load: that of both servers of a pair
            rounds += [
                a_round(OURS, clients, factor * scale, 1.2 / scale),
                a_round(PEER, clients, scale, 1.0 / scale),
            ]
    assert ratios(rounds, 8, "per_sec") == pytest.approx([1.4] * 3)
    bars = bars_of(rounds, is_owed=False)
    assert [bar.is_met for bar in bars] == [False, True, False]
    assert [bar.is_met for bar in bars_of(rounds, is_owed=True)] == [None] * 3


def test_requests_and_replies_are_http() -> None:
    [first, second] = puzzle_texts(2)
    assert len(first) == len(second) == 81
    assert first.encode() in body_of(first)

    async def read(data: bytes) -> bytes:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        return await read_reply(reader)

    assert asyncio.run(read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) == b"{}"
    with pytest.raises(SystemExit, match="a request failed"):
        asyncio.run(read(b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\n{}"))
