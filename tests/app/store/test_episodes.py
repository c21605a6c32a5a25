"""Episodes of worlds and puzzles in hand: what is stored of each, and that it is bounded."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest

from sage.app.session.synthetic import SyntheticSession
from sage.app.store.boards import NUM_TICKS
from sage.runtime.report import ActingFacts, AnswerFacts, LevelFacts, SolvingFacts, TickReport


@pytest.fixture
def play(store):
    """`play(facts_of)`: a session whose tick t has facts_of(t) beside the synthetic ones; its id."""

    def run(num_ticks, facts_of):
        session = store.begin_session()
        writer = store.instrument(session)
        for item in SyntheticSession(num_ticks=num_ticks).items():
            if isinstance(item, TickReport):
                facts = dataclasses.replace(item.facts, **facts_of(item.facts.tick))
                writer.on_tick(dataclasses.replace(item, facts=facts))
        assert writer.flush()
        return session

    return run


def test_an_episode_is_stored_when_it_ends(store, play):
    def facts_of(tick):
        ends = tick % 10 == 0
        return {
            "acting": (
                ActingFacts(
                    world="arm",
                    reset=2.0 if ends and tick % 20 else float(ends),
                    num_episodes=tick // 10,
                    last_return=float(tick // 10 * 3) if tick >= 10 else math.nan,
                    last_success=float(tick > 50) if tick >= 10 else math.nan,
                ),
                ActingFacts(world="cart", reset=float(ends), num_episodes=tick // 10, last_return=1.0),
            )
        }

    session = play(100, facts_of)
    arm, cart = store.episodes(session)
    assert (arm.world, cart.world) == ("arm", "cart")
    assert arm.ticks.tolist() == list(range(10, 100, 10))
    assert arm.returns.tolist() == [3.0 * each for each in range(1, 10)]
    assert arm.is_cut.tolist() == [True, False] * 4 + [True]
    assert arm.first_median(2) == 4.5
    assert arm.last_median(3) == 24.0
    trailing = arm.trailing(np.array([5, 10, 29, 100]), 2)
    assert np.isnan(trailing[0])
    assert trailing[1:].tolist() == [3.0, 4.5, 25.5]
    assert arm.trailing_success(np.array([100]), 8).tolist() == [0.5]
    assert arm.states_success
    assert not cart.states_success


def test_a_session_without_worlds_and_streams_has_neither(store, play):
    session = play(5, lambda tick: {})
    assert store.episodes(session) == ()
    assert store.boards(session) == ()


def board(tick, number, answer):
    return {
        "solving": (
            SolvingFacts(stream="s", level=0, levels=(), num_under_way=1, num_segments=1, answers=(),
                         board_number=number, board_cells=(1, 2, 1, 3), board_answer=answer),
        )
    }  # fmt: skip


def test_the_steps_of_a_puzzle_in_hand_are_those_in_which_it_changed(store, play):
    answers = [(2, 2, 2, 3), (2, 2, 2, 3), (3, 2, 2, 3), (3, 2, 2, 3), ()]
    session = play(5, lambda tick: board(tick, 7, answers[tick]))
    (found,) = store.boards(session)
    assert (found.stream, found.puzzle) == ("s", 7)
    assert found.cells.tolist() == [1, 2, 1, 3]
    assert found.ticks.tolist() == [0, 2]
    assert found.answers.tolist() == [[2, 2, 2, 3], [3, 2, 2, 3]]


def test_a_puzzle_in_hand_has_the_segments_and_the_result_of_its_answer(store, play):
    answers = [(2, 2, 2, 3), (2, 2, 2, 3), (3, 2, 2, 3), (3, 2, 2, 3), ()]
    result = AnswerFacts(
        number=7, level=0, is_right=True, is_abstained=False, decision="allow", num_segments=4,
        num_calls=1, confidence=0.5, age_ticks=4, num_open=(4, 0, 1, 0),
    )  # fmt: skip

    def facts(tick):
        (solving,) = board(tick, 7, answers[tick])["solving"]
        ended = (result,) if tick == 4 else ()
        return {"solving": (replace(solving, levels=(LevelFacts(name="easy"),), answers=ended),)}

    (found,) = store.boards(play(5, facts))
    assert (found.level, found.num_segments, found.verdict) == ("easy", 4, "right")
    assert found.segments == (1, 3)
    (other,) = store.boards(play(4, facts))
    assert (other.level, other.num_segments, other.verdict, other.segments) == ("", None, "", ())


def test_only_the_last_ticks_of_puzzles_are_kept(store, play):
    session = play(NUM_TICKS + 200, lambda tick: board(tick, tick // 4, (tick, 2, 2, 3)))
    found = store.boards(session)
    assert sum(len(each.ticks) for each in found) == NUM_TICKS
    assert found[-1].ticks[-1] == NUM_TICKS + 199
    assert [each.puzzle for each in found] == sorted(each.puzzle for each in found)
