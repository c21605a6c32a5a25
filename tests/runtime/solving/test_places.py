"""One budget a tick for the prediction, puzzles and the work of devices, with a reason for each refusal."""

from __future__ import annotations

import math

import pytest

from sage.runtime.config import SolvingConfig
from sage.runtime.report import State
from sage.sensors.budgeted_work import WorkPiece


class Sketching:
    """Always due. Records the most that it was allowed."""

    def __init__(self, *, least: int = 1, gain: float = 0.5, spends: int | None = None) -> None:
        self.least = least
        self.gain = gain
        self.trust = math.nan
        self.spends = spends
        self.allowed: list[int] = []
        self.error: Exception | None = None

    def num_next(self, now_ns: int) -> int:
        return self.least

    def work(self, most: int) -> WorkPiece:
        if self.error is not None:
            raise self.error
        self.allowed.append(most)
        spent = self.least if self.spends is None else self.spends
        return WorkPiece(num_segments=spent, num_made=1, outcome="solved")


def works(life):
    return [report.facts.work[0] for report in life.recorder.ticks]


def test_puzzles_and_work_share_the_budget_and_neither_starves(live):
    life = live(SolvingConfig(weights="sudoku4", segments=3, rows=2), window=2)
    sketching = Sketching(gain=1e-6)
    life.board.post("sketch", sketching)
    life.loop.run(num_ticks=40)
    for report in life.recorder.ticks:
        facts = report.facts
        assert facts.num_segments + facts.solving[0].num_segments + facts.work[0].num_segments <= 3
    solved = sum(facts.num_segments for facts in life.recorder.solving)
    sketched = sum(facts.num_segments for facts in works(life))
    assert solved > sketched >= 40 / 6  # a floor on waiting, against the larger gain of puzzles
    assert max(sketching.allowed) <= 2
    assert all(bool(facts.ended) == (facts.skipped == "") for facts in works(life))
    assert {facts.skipped for facts in works(life)} == {"", "budget"}


def test_work_without_puzzles_gets_what_the_prediction_leaves(live):
    life = live(SolvingConfig(weights="sudoku4", segments=4, rows=1), rate_hz=0.01)
    life.loop.run(num_ticks=30)
    before = len(life.recorder.ticks)
    sketching = Sketching(least=2, gain=100.0)
    sketching.trust = 0.5
    life.board.post("sketch", sketching)
    life.loop.run(num_ticks=5)
    for report in life.recorder.ticks[before:]:
        assert report.facts.work[0].num_segments == 2  # a second piece would be over the budget of 4
        assert report.facts.work[0].ended == ("solved",)
        assert report.facts.work[0].work_trust == 0.5


@pytest.mark.parametrize(
    ("sections", "segments", "reason"),
    [
        ({"budget": {"segments": 1, "tokens": 1}}, 4, "tokens"),
        ({"budget": {"segments": 1, "puzzle_secs": 1e-9}}, 4, "time"),
    ],
)
def test_a_refusal_has_its_reason(live, sections, segments, reason):
    life = live(SolvingConfig(weights="sudoku4", segments=segments), sections=sections)
    life.board.post("sketch", Sketching())
    life.loop.run(num_ticks=3)
    assert {facts.skipped for facts in works(life)} == {reason}
    assert {facts.num_segments for facts in works(life)} == {0}


def test_the_operating_mode_is_a_reason(live):
    life = live(SolvingConfig(weights="sudoku4"))
    sketching = Sketching()
    life.board.post("sketch", sketching)
    life.loop.between_ticks.allowance.metabolism.resume(State.CRISIS)
    life.loop.tick()
    assert works(life)[0].skipped == "mode"
    assert life.recorder.solving[0].num_segments == 0
    assert not sketching.allowed


def test_work_that_fails_is_an_event_and_gets_nothing_until_it_is_posted_again(live):
    life = live(SolvingConfig(weights="sudoku4", segments=4), window=1)
    sketching = Sketching(gain=100.0)
    sketching.error = ZeroDivisionError("no room")
    life.board.post("sketch", sketching)
    life.loop.run(num_ticks=3)
    faults = [event for event in life.recorder.events if event.kind == "fault"]
    assert [fault.source for fault in faults] == ["sketch"]
    assert "no room" in faults[0].message
    assert {facts.skipped for facts in works(life)} == {"failed"}
    assert sum(facts.num_segments for facts in life.recorder.solving) > 0
    life.board.post("sketch", Sketching(gain=100.0))
    life.loop.run(num_ticks=1)
    assert works(life)[-1].ended


@pytest.mark.parametrize("piece", [None, WorkPiece(num_segments=None, num_made=1, outcome="solved")])  # type: ignore[arg-type]
def test_a_piece_of_another_form_is_a_failure_of_its_work(live, piece):
    life = live(SolvingConfig(weights="sudoku4", segments=4), window=1)
    sketching = Sketching(gain=100.0)
    sketching.work = lambda most: piece
    life.board.post("sketch", sketching)
    life.loop.run(num_ticks=3)
    assert [event.source for event in life.recorder.events if event.kind == "fault"] == ["sketch"]
    assert {facts.skipped for facts in works(life)} == {"failed"}


def test_work_that_spends_nothing_does_not_hold_the_tick(live):
    life = live(SolvingConfig(weights="sudoku4", segments=4), window=1)
    life.board.post("sketch", Sketching(gain=100.0, spends=0))
    life.loop.run(num_ticks=2)
    assert [facts.ended for facts in works(life)] == [("solved",)] * 2


def test_a_place_that_cannot_be_afforded_does_not_stop_the_others(live):
    """Its rows need more tokens than a tick has; the work of a device needs none."""
    life = live(SolvingConfig(weights="sudoku4", segments=4, rows=8), sections={"budget": {"tokens": 40}})
    sketching = Sketching(gain=1e-6)
    life.board.post("sketch", sketching)
    life.loop.run(num_ticks=20)
    assert sum(facts.num_segments for facts in life.recorder.solving) == 0
    assert sum(bool(facts.ended) for facts in works(life)) >= 18
    assert {facts.skipped for facts in life.recorder.solving[2:]} == {"tokens"}
