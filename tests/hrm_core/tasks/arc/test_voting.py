"""Votes over augmented answers, and submission files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage.errors import DataError
from sage.hrm_core.tasks.arc.grid import Augmentation, board
from sage.hrm_core.tasks.arc.voting import Vote, best_attempts, load_submission


def test_answers_are_ranked_by_votes_then_by_q() -> None:
    twice, sure, unsure = (board(np.full((2, 2), colour)) for colour in (1, 2, 3))
    votes = [(twice, 0.1), (twice, 0.1), (unsure, 0.2), (sure, 0.9)]
    ballot = [Vote(puzzle="p", test=0, augmentation=Augmentation(), cells=cells, q=q) for cells, q in votes]
    first, second = best_attempts(ballot)["p", 0]
    assert (first == 1).all()
    assert (second == 2).all()


def test_a_tie_is_broken_by_the_mean_of_sigmoid_q() -> None:
    """Mean logits are 2 and 1, mean sigmoids 0.5033 and 0.7311: the second answer wins."""
    board_of = {name: board(np.full((1, 1), colour, np.int32)) for name, colour in (("a", 1), ("b", 2))}
    votes = [
        Vote(puzzle="p", test=0, augmentation=Augmentation(), cells=board_of[name], q=q)
        for name, q in (("a", 9.0), ("a", -5.0), ("b", 1.0), ("b", 1.0))
    ]
    assert [int(grid[0, 0]) for grid in best_attempts(votes)["p", 0]] == [2, 1]


def test_ties_are_broken_by_sigmoids_of_very_low_logits() -> None:
    """sigmoid(-40) = 4.2e-18 > sigmoid(-41) = 1.6e-18; 0.5 * (1 + tanh(q / 2)) rounds both to 0."""
    low, lower = (
        Vote(puzzle="p", test=0, augmentation=Augmentation(), cells=board(np.full((1, 1), colour)), q=q)
        for colour, q in ((9, -40.0), (1, -41.0))
    )
    assert [int(grid[0, 0]) for grid in best_attempts([lower, low])["p", 0]] == [9, 1]


def test_a_submission_with_a_byte_order_mark_is_read_and_any_other_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "submission.json"
    file.write_text('{"p": [{"attempt_1": [[1]], "attempt_2": [[2]]}]}', encoding="utf-8-sig")
    assert [grid.tolist() for grid in load_submission(file)["p", 0]] == [[[1]], [[2]]]
    file.write_text('{"p": [{"attempt_1": [[1]]}]}')
    with pytest.raises(DataError, match=r"submission\.json: not a submission"):
        load_submission(file)
