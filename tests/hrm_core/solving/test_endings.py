"""Trust from how work ended: the same words for solving, planning and imagination."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.solving.endings import FLOOR, OUTCOMES, EndingTrust


def trust_after(outcome: str, num: int, *, is_right: bool | None = None) -> float:
    endings = EndingTrust()
    for _ in range(num):
        endings.note(outcome, is_right=is_right)  # type: ignore[arg-type]
    return endings.trust


def test_there_is_none_before_the_first_ending_and_a_wrong_claim_lowers_it() -> None:
    assert math.isnan(EndingTrust().trust)
    assert trust_after("solved", 20, is_right=True) > 0.9
    assert trust_after("halted", 20, is_right=False) < 0.55
    assert trust_after("halted", 500, is_right=False) == FLOOR


def test_a_wrong_answer_at_the_budget_costs_less_than_one_that_claims_to_be_right() -> None:
    first = trust_after("abstained", 1)
    lost = {each: first - trust_after(each, 10, is_right=False) for each in ("solved", "halted", "budget")}
    assert lost["solved"] == lost["halted"] > 2 * lost["budget"] > 0


@pytest.mark.parametrize("outcome", ["abstained", "no_solution"])
def test_an_ending_without_a_claim_changes_no_trust_and_is_counted(outcome: str) -> None:
    endings = EndingTrust()
    endings.note("halted", is_right=True)
    before = endings.trust
    endings.note(outcome, is_right=False)  # type: ignore[arg-type]
    assert endings.trust == before
    assert sum(endings.counts.values()) == 2


def test_unjudged_work_counts_by_its_ending_and_numbers_that_are_not_finite_are_never_right() -> None:
    assert trust_after("solved", 30) > trust_after("budget", 30) > trust_after("diverged", 30)
    assert trust_after("diverged", 5, is_right=True) == trust_after("diverged", 5, is_right=False)


def test_its_state_goes_on_and_another_word_or_length_is_refused() -> None:
    endings, again = EndingTrust(), EndingTrust()
    for outcome in OUTCOMES:
        endings.note(outcome, is_right=outcome == "solved")
    again.load_state(endings.state())
    assert (again.trust, again.counts) == (endings.trust, endings.counts)
    with pytest.raises(InputError, match="give one of solved"):
        endings.note("done")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="give \\(8,\\)"):
        endings.load_state(np.zeros(3))
