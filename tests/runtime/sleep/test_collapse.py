"""Signs of a collapsed candidate, on answers made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage.runtime.sleep.collapse import find_collapse

NUM = 60
LABELS = torch.arange(NUM) % 6


def answers(given: Tensor, sharpness: float = 6.0) -> Tensor:
    return sharpness * torch.nn.functional.one_hot(given, 6).float()


RIGHT = answers(LABELS)


def test_right_answers_have_not_collapsed():
    assert find_collapse(RIGHT, RIGHT, LABELS) == ""


def test_a_better_candidate_than_one_that_gives_two_answers_has_not_collapsed():
    assert find_collapse(answers(LABELS % 2), RIGHT, LABELS) == ""


@pytest.mark.parametrize(
    ("after", "sign"),
    [
        (answers(torch.zeros_like(LABELS)), "entropy"),
        (answers(LABELS, 0.01), "vary"),
        (answers(torch.where(LABELS < 4, 0, LABELS)), "one answer to 67% of inputs, the labels 17%"),
        (answers((LABELS + 1) % 6), "accuracy 0.0%, that of one constant answer 16.7%"),
    ],
)
def test_each_sign_is_named(after: Tensor, sign: str):
    assert sign in find_collapse(RIGHT, after, LABELS)
