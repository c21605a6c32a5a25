"""Chains scored with the rules and without: right, wrong and withheld answers add up."""

from __future__ import annotations

import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.evaluation.deducing import score_chains
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.tasks.catalogue import make_task

FRONT = TokenFront(vocab_size=6, seq_len=16, positions="none", alike_from=2)


def untrained(preset: str) -> HRM:
    config = ModelConfig.preset(preset, front=FRONT, box=(2, 2), hidden_size=16)
    return HRM(config, generator=torch.Generator().manual_seed(0)).eval()


@pytest.mark.parametrize("has_rules", [True, False])
def test_shares_add_up_and_rules_exclude_wrong_answers(has_rules: bool) -> None:
    task = make_task("sudoku", size=4)
    found = score_chains(
        untrained("deduce"), task, num=6, chains=2, calls=60, has_rules=has_rules, max_segments=1
    )
    assert found.solved + found.wrong + found.abstained == pytest.approx(1.0)
    assert 1 <= found.mean_calls <= 60
    assert found.low - 1e-9 <= found.solved <= found.high
    if has_rules:
        assert found.wrong == 0.0
    else:  # an untrained conflict head finds no conflict, and accepts what the guesses give
        assert found.wrong > 0.5


def test_a_model_without_deduction_heads_is_refused() -> None:
    with pytest.raises(InputError, match="the model has no deduction heads"):
        score_chains(
            untrained("sudoku"), make_task("sudoku", size=4), num=2, chains=2, calls=8, has_rules=True
        )
