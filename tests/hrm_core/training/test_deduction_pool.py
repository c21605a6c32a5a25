"""How the states of learned deduction move on: kills, ends of chains, guesses, pairs."""

from __future__ import annotations

import dataclasses

import torch

from sage.hrm_core.config.fronts import TokenFront
from sage.hrm_core.model.candidates import candidates_of, contain, true_candidates
from sage.hrm_core.model.hrm import ACTState, TokenBatch
from sage.hrm_core.model.recurrence import Carry, Output
from sage.hrm_core.training.deduction_config import DeductionConfig
from sage.hrm_core.training.deduction_pool import Moved, moved

FRONT = TokenFront(vocab_size=6, seq_len=16, positions="none", alike_from=2)
SOLUTION = torch.tensor([2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2])
PLAIN = DeductionConfig(pair_share=0.0)


def pool(num: int, **changes: int) -> ACTState:
    """`num` copies of one puzzle with 4 givens; changes: num_segments."""
    inputs = SOLUTION.clone()
    inputs[4:] = 1
    inputs = inputs.expand(num, -1).contiguous()
    batch = TokenBatch(
        inputs=inputs,
        labels=SOLUTION.expand(num, -1).contiguous(),
        puzzle_ids=torch.arange(num),
        candidates=candidates_of(inputs, FRONT),
    )
    carry = Carry(z_H=torch.arange(num)[:, None, None].float(), z_L=torch.zeros(num, 1, 1))
    age = torch.full((num,), changes.get("num_segments", 1), dtype=torch.int32)
    return ACTState(carry=carry, batch=batch, num_segments=age, is_halted=torch.zeros(num, dtype=torch.bool))


def said(num: int, *, keep: float = 3.0, conflict: float = -3.0) -> Output:
    return Output(
        logits=torch.zeros(num, 16, 6),
        q_halt=torch.zeros(num),
        keep=torch.full((num, 16, 4), keep),
        conflict=torch.full((num,), conflict),
    )


def move(state: ACTState, output: Output, own: DeductionConfig = PLAIN, seed: int = 0) -> Moved:
    return moved(state, output, FRONT, own, torch.Generator().manual_seed(seed))


def candidates(found: Moved) -> torch.Tensor:
    assert found.state.batch.candidates is not None
    return found.state.batch.candidates


def test_a_state_without_an_end_has_one_more_cell_decided() -> None:
    before = pool(8)
    found = move(before, said(8))
    assert not found.state.is_halted.any()
    num_decided = (candidates(found).sum(-1) == 1).sum(-1)
    assert num_decided.tolist() == [5] * 8


def test_a_kill_takes_unlikely_candidates_but_none_of_a_given_cell() -> None:
    output = said(2)
    assert output.keep is not None
    output.keep[:, :, 1] = -6.0
    found = move(pool(2), output, dataclasses.replace(PLAIN, pin_true=1.0))
    assert candidates(found)[:, 1, 1].all()  # the given 3
    assert not candidates(found)[:, 4:, 1].any()
    assert found.is_killed.all()


def test_a_chain_ends_by_conflict_by_an_empty_cell_by_age_and_when_all_is_decided() -> None:
    assert move(pool(3), said(3, conflict=1.0)).state.is_halted.all()
    assert move(pool(3), said(3, keep=-6.0)).state.is_halted.all()
    assert move(pool(3, num_segments=100), said(3)).state.is_halted.all()
    state = pool(3)
    done = dataclasses.replace(state.batch, candidates=true_candidates(state.batch.labels, FRONT))
    found = move(dataclasses.replace(state, batch=done), said(3))
    assert found.state.is_halted.all()
    assert found.is_solved.all()


def test_a_chain_has_one_call_on_its_decided_cells() -> None:
    state = pool(2)
    truth = true_candidates(state.batch.labels, FRONT)
    output = said(2)
    assert output.keep is not None
    output.keep[~truth] = -6.0  # everything is decided by this call
    found = move(state, output)
    assert not found.state.is_halted.any()
    assert (candidates(found) == truth).all()
    again = move(dataclasses.replace(found.state, num_segments=found.state.num_segments + 1), output)
    assert again.state.is_halted.all()
    assert again.is_solved.all()


def test_a_chain_that_lost_the_solution_ends_at_its_own_age() -> None:
    state = pool(2, num_segments=8)
    assert state.batch.candidates is not None
    state.batch.candidates[0, 10, SOLUTION[10] - 2] = False
    assert move(state, said(2)).state.is_halted.tolist() == [True, False]


def test_guesses_take_the_true_symbol_in_the_stated_share() -> None:
    state = pool(400)
    truth = true_candidates(state.batch.labels, FRONT)
    always = move(state, said(400), dataclasses.replace(PLAIN, pin_true=1.0))
    assert contain(candidates(always), truth).all()
    never = move(state, said(400), dataclasses.replace(PLAIN, pin_true=0.0))
    share = contain(candidates(never), truth).float().mean()
    assert 0.15 < share < 0.35  # one of four equal candidates


def test_a_guess_prefers_the_cell_of_the_strongest_second_choice() -> None:
    output = said(200)
    assert output.logits is not None
    output.logits[:, 4:, 2] = 12.0  # one choice stands out in every cell
    output.logits[:, 9, 3] = 12.0  # but in one, where two do
    found = move(pool(200), output)
    assert (candidates(found)[:, 9].sum(-1) == 1).float().mean() > 0.9
    uniform = move(pool(200), output, dataclasses.replace(PLAIN, pin="uniform"))
    assert (candidates(uniform)[:, 9].sum(-1) == 1).float().mean() < 0.3


def test_pairs_are_one_state_with_a_true_and_with_a_false_guess() -> None:
    found = move(pool(8), said(8), dataclasses.replace(PLAIN, pair_share=0.5))
    bits = candidates(found)
    truth = true_candidates(found.state.batch.labels, FRONT)
    assert contain(bits, truth).tolist()[:4] == [True, False, True, False]
    for first in (0, 2):
        differ = (bits[first] != bits[first + 1]).any(-1)
        assert differ.sum() == 1
        assert bits[first + 1][differ].sum() == 1
        assert found.state.carry.z_H[first + 1] == found.state.carry.z_H[first]
        assert found.state.batch.puzzle_ids[first + 1] == first


def test_a_pair_whose_first_state_ended_is_refilled() -> None:
    output = said(4)
    assert output.conflict is not None
    output.conflict[:2] = 3.0
    found = move(pool(4), output, dataclasses.replace(PLAIN, pair_share=1.0))
    assert found.state.is_halted.tolist() == [True, True, False, False]


def test_the_same_numbers_give_the_same_move() -> None:
    first, second = (move(pool(16), said(16), DeductionConfig(), seed=3) for _ in range(2))
    assert torch.equal(candidates(first), candidates(second))
    other = move(pool(16), said(16), DeductionConfig(), seed=4)
    assert not torch.equal(candidates(first), candidates(other))
