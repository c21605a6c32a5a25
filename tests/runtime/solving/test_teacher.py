"""Trust in a teacher follows the share of its solutions that the rules accept."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.solving.teacher import FLOOR, TeacherTrust


@pytest.mark.parametrize("every", [2, 5, 10])
def test_the_trust_comes_near_the_share_of_accepted_solutions(every):
    teacher = TeacherTrust()
    trusts = []
    for number in range(400):
        teacher.note(number % every != 0)
        trusts.append(teacher.trust)
    assert np.mean(trusts[200:]) == pytest.approx(1 - 1 / every, abs=0.03)
    assert teacher.num_refused == 400 // every


def test_it_never_falls_below_the_floor_and_rises_again():
    teacher = TeacherTrust()
    for _ in range(500):
        teacher.note(False)
    assert teacher.trust == FLOOR
    for _ in range(100):
        teacher.note(True)
    assert teacher.trust > 0.9


def test_its_state_is_restored():
    one, two = TeacherTrust(), TeacherTrust()
    for accepted in (True, False, False):
        one.note(accepted)
    two.load_state(one.state())
    assert two.trust == one.trust
