"""Puzzles that continue in training with one cell more filled in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM, ACTState, TokenBatch
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Examples
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.guesses import check_guesses, num_guessed, with_guesses
from sage.hrm_core.training.lanes import Lane

LIMIT, BLANK = 4, 1
CONFIG = TrainConfig(steps=1, guesses=2, guess_segments=3)


@pytest.fixture
def model() -> HRM:
    front = TokenFront(vocab_size=6, seq_len=16, positions="none", alike_from=2)
    return HRM(ModelConfig.preset("sudoku", front=front, hidden_size=8, box=(2, 2)))


def _examples(num: int) -> Examples:
    return make_task("sudoku", size=4).sample(8 * num, np.random.default_rng(3)).take(slice(num))


def _state(model: HRM, examples: Examples, *, is_halted: list[bool]) -> ACTState:
    batch = TokenBatch(
        inputs=torch.from_numpy(examples.inputs),
        labels=torch.from_numpy(examples.labels),
        puzzle_ids=torch.from_numpy(examples.puzzle_ids),
    )
    state = model.initial_state(batch)
    carry = replace(state.carry, z_H=state.carry.z_H + 1.0)
    segments = torch.full_like(state.num_segments, LIMIT)
    return replace(state, carry=carry, num_segments=segments, is_halted=torch.tensor(is_halted))


def _continued(model: HRM, state: ACTState, logits: torch.Tensor, puzzles: torch.Tensor) -> ACTState:
    return with_guesses(state, logits, puzzles, model.inner, CONFIG, blank=BLANK, limit=LIMIT)


def test_an_unsolved_row_gets_its_true_symbol_where_the_second_choice_is_most_probable(model: HRM) -> None:
    examples = _examples(2)
    state = _state(model, examples, is_halted=[True, False])
    logits = torch.zeros(2, 16, 6)
    logits[..., 2] = 9.0  # sure of one symbol, wrong in most cells
    cell = int(np.flatnonzero(examples.inputs[0] == BLANK)[-1])
    logits[0, cell, 3] = 8.5  # and here the second choice is close
    puzzles = state.batch.inputs
    after = _continued(model, state, logits, puzzles)
    expected = examples.inputs[0].copy()
    expected[cell] = examples.labels[0, cell]
    assert after.batch.inputs[0].tolist() == expected.tolist()
    assert after.batch.inputs[1].tolist() == examples.inputs[1].tolist()
    assert after.num_segments.tolist() == [LIMIT - CONFIG.guess_segments, LIMIT]
    assert after.is_halted.tolist() == [False, False]
    assert torch.equal(after.carry.z_H[0], model.inner.H_init.expand(64, -1))
    assert torch.equal(after.carry.z_H[1], state.carry.z_H[1])
    assert num_guessed(after, puzzles).tolist() == [1, 0]


def test_rows_that_are_solved_or_have_all_their_guesses_end(model: HRM) -> None:
    examples = _examples(2)
    state = _state(model, examples, is_halted=[True, True])
    logits = torch.nn.functional.one_hot(state.batch.labels.long(), 6).float()
    logits[1] = logits[1].flip(-1)  # the second row is wrong
    puzzles = state.batch.inputs
    for num in (1, 2):
        state = _continued(model, replace(state, num_segments=torch.tensor([LIMIT, LIMIT])), logits, puzzles)
        assert num_guessed(state, puzzles).tolist() == [0, num]
        state = replace(state, is_halted=torch.tensor([True, True]))
    after = _continued(model, replace(state, num_segments=torch.tensor([LIMIT, LIMIT])), logits, puzzles)
    assert after.is_halted.tolist() == [True, True]
    assert num_guessed(after, puzzles).tolist() == [0, 2]


def test_a_row_that_the_q_head_halted_early_ends(model: HRM) -> None:
    state = _state(model, _examples(1), is_halted=[True])
    state = replace(state, num_segments=torch.tensor([LIMIT - 1]))
    after = _continued(model, state, torch.zeros(1, 16, 6), state.batch.inputs)
    assert after.is_halted.tolist() == [True]
    assert num_guessed(after, state.batch.inputs).tolist() == [0]


def test_a_checkpoint_holds_the_puzzle_as_it_was_taken(model: HRM) -> None:
    examples = _examples(2)
    state = _state(model, examples, is_halted=[True, True])
    after = _continued(model, state, torch.zeros(2, 16, 6), state.batch.inputs)
    lane = Lane(state=after, rows=examples, is_halted=after.is_halted.numpy())
    loaded = Lane.of_tensors(lane.tensors(), torch.device("cpu"))
    assert loaded.rows.inputs.tolist() == examples.inputs.tolist()
    assert torch.equal(loaded.state.batch.inputs, after.batch.inputs)


def test_a_task_without_blank_cells_is_an_error() -> None:
    with pytest.raises(InputError, match="guesses is 2: task maze has no blank cells"):
        check_guesses(make_task("maze", size=8).spec, CONFIG)


@pytest.mark.parametrize("changes", [{"guesses": -1}, {"guess_segments": 0}, {"guesses": 1.5}])
def test_a_number_out_of_range_is_an_error(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        TrainConfig(steps=1, **changes)  # type: ignore[arg-type]
