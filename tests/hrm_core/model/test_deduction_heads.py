"""Candidate sets in, keep and conflict logits out."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.candidates import (
    DEAD_LOGIT,
    candidates_of,
    contain,
    true_candidates,
)
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.model.recurrence import Output

FRONT = TokenFront(vocab_size=6, seq_len=16, positions="none", alike_from=2)
INPUTS = torch.tensor([[1, 2, 3, 4, 5, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]] * 2)


def small(**changes: object) -> HRM:
    config = ModelConfig.preset("deduce", front=FRONT, box=(2, 2), hidden_size=16, **changes)
    model = HRM(config, generator=torch.Generator().manual_seed(1))
    for name, weight in model.named_parameters():
        if "deduction_heads" in name and weight.dim() == 2:  # zero at the start
            torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(2))
    return model.eval()


def read(model: HRM, candidates: Tensor | None = None) -> Output:
    batch = TokenBatch(inputs=INPUTS, labels=INPUTS, puzzle_ids=torch.full((2,), -1), candidates=candidates)
    with torch.no_grad():
        return model.segment(model.initial_carry(2), batch)[1]


def test_without_candidates_all_symbols_of_a_blank_cell_are_read() -> None:
    model = small()
    plain, told = read(model), read(model, candidates_of(INPUTS, FRONT))
    assert plain.keep is not None
    assert told.keep is not None
    assert plain.keep.shape == (2, 16, 4)
    assert plain.conflict is not None
    assert plain.conflict.shape == (2,)
    torch.testing.assert_close(plain.keep, told.keep)
    torch.testing.assert_close(plain.logits, told.logits)


def test_a_dead_candidate_changes_the_output_and_is_never_the_answer() -> None:
    model = small()
    candidates = candidates_of(INPUTS, FRONT)
    candidates[0, 0, :3] = False
    plain, changed = read(model), read(model, candidates)
    assert plain.conflict is not None
    assert changed.conflict is not None
    assert plain.logits is not None
    assert changed.logits is not None
    assert changed.conflict[0] != plain.conflict[0]
    torch.testing.assert_close(changed.conflict[1], plain.conflict[1])
    assert (changed.logits[0, 0, 2:5] == DEAD_LOGIT).all()
    assert changed.logits[0, 0, 2:].argmax() == 3
    assert (changed.logits[..., 2:].argmax(-1)[0, 1:5] + 2 == INPUTS[0, 1:5]).all()


def test_the_symbols_stay_interchangeable() -> None:
    """Digits relabelled in: logits relabelled out, the conflict unchanged."""
    model, order = small(), torch.tensor([2, 0, 3, 1])
    candidates = candidates_of(INPUTS, FRONT)
    candidates[0, 5, 0] = candidates[1, 7, 3] = False
    moved = torch.where(INPUTS >= 2, torch.argsort(order)[(INPUTS - 2).clamp(min=0)] + 2, INPUTS)
    batch = TokenBatch(
        inputs=moved, labels=moved, puzzle_ids=torch.full((2,), -1), candidates=candidates[..., order]
    )
    with torch.no_grad():
        found = model.segment(model.initial_carry(2), batch)[1]
    plain = read(model, candidates)
    assert plain.keep is not None
    torch.testing.assert_close(found.keep, plain.keep[..., order], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.conflict, plain.conflict, rtol=1e-4, atol=1e-4)


def test_a_model_of_answers_with_the_same_weights_gives_the_same_logits() -> None:
    model = small()
    plain = HRM(dataclasses.replace(model.config, heads="answer")).eval()
    own = model.state_dict()
    plain.load_state_dict({name: own[name] for name in plain.state_dict()})
    is_blank = INPUTS == 1
    found, expected = read(model).logits, read(plain).logits
    assert found is not None
    assert expected is not None
    torch.testing.assert_close(found[is_blank], expected[is_blank])


def test_a_model_of_answers_refuses_candidates() -> None:
    model = HRM(ModelConfig.preset("sudoku", front=FRONT, box=(2, 2)))
    with pytest.raises(InputError, match="candidates: this model has no deduction heads"):
        read(model, candidates_of(INPUTS, FRONT))


@pytest.mark.parametrize("preset", ["small", "trm-7m"])
def test_heads_without_interchangeable_symbols_are_refused(preset: str) -> None:
    with pytest.raises(InputError, match="heads is 'deduction': candidates are of interchangeable symbols"):
        ModelConfig.preset(preset, heads="deduction")


def test_an_unknown_kind_of_heads_is_refused() -> None:
    with pytest.raises(InputError, match="heads is 'guess': give one of answer, deduction"):
        ModelConfig.preset("sudoku", heads="guess")


def test_a_config_of_an_earlier_version_has_answer_heads() -> None:
    plain = ModelConfig.preset("sudoku").to_plain()
    assert not {"heads", "damping"} & set(plain)  # so that snapshots of earlier versions are found
    assert ModelConfig.from_plain(plain).heads == "answer"
    deduce = ModelConfig.preset("deduce")
    assert ModelConfig.from_plain(deduce.to_plain()) == deduce


def test_candidates_contain_the_solution_until_one_of_its_bits_is_gone() -> None:
    labels = torch.tensor([[2, 3, -100]])
    front = TokenFront(vocab_size=6, seq_len=3, alike_from=2)
    truth = true_candidates(labels, front)
    candidates = torch.ones(1, 3, 4, dtype=torch.bool)
    assert truth.sum() == 2
    candidates[0, 2] = False  # its label does not count
    assert contain(candidates, truth).item()
    candidates[0, 1, 1] = False
    assert not contain(candidates, truth).item()


def test_batches_with_and_without_candidates_are_not_mixed() -> None:
    one = TokenBatch(inputs=INPUTS, labels=INPUTS, puzzle_ids=torch.zeros(2))
    other = dataclasses.replace(one, candidates=candidates_of(INPUTS, FRONT))
    with pytest.raises(InputError, match="candidates are in one of two batches only"):
        one.where(torch.tensor([True, False]), other)
