from __future__ import annotations

import numpy as np
import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.evaluation.evaluate import run_segments
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model_family import ModelFamily, config_for, family_of
from sage.hrm_core.tasks.catalogue import make_task

TASKS = [make_task("sudoku", size=4), make_task("sudoku", size=6)]
SPECS = [task.spec for task in TASKS]


def test_members_of_mixer_lines_share_all_weights_and_have_one_state_dict() -> None:
    family = family_of("sudoku", SPECS)
    assert family.weights().keys() == HRM(family.configs[0]).state_dict().keys()
    for one, other in zip(family[0].parameters(), family[1].parameters()):
        assert one is other
    assert len(list(family.parameters())) == len(list(family[0].parameters()))


def test_a_step_of_one_member_moves_the_other() -> None:
    family = family_of("sudoku", SPECS)
    rows = TASKS[1].sample(4, np.random.default_rng(0))
    before = run_segments(family[1], rows, 1).q_halt
    with torch.no_grad():
        family[0].inner.q_head.bias.add_(0.3)
    assert (run_segments(family[1], rows, 1).q_halt != before).any()


def test_weights_that_depend_on_the_size_have_names_of_their_own() -> None:
    family = family_of("tiny", SPECS)
    weights = family.weights()
    own = {name for name in weights if name.startswith("member1.")}
    assert own
    assert all(weights[name].shape != weights[name.removeprefix("member1.")].shape for name in own)
    other = family_of("tiny", SPECS, seed=1)
    other.load_weights(weights)
    for name, tensor in other.weights().items():
        assert torch.equal(tensor, weights[name])
    for index in range(2):
        saved = family[index].state_dict()
        assert all(torch.equal(tensor, saved[name]) for name, tensor in other[index].state_dict().items())


def test_a_copy_is_equal_and_independent() -> None:
    family = family_of("sudoku", SPECS, seed=3)
    other = family.copy()
    assert all(torch.equal(tensor, other.weights()[name]) for name, tensor in family.weights().items())
    before = {name: tensor.clone() for name, tensor in family.weights().items()}
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in family.weights().items())


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    family = family_of("sudoku", SPECS)
    with pytest.raises(InputError, match="1 tensors are missing"):
        family.load_weights({name: each for name, each in family.weights().items() if "bias" not in name})
    wrong = {**family.weights(), "inner.q_head.bias": torch.zeros(3)}
    with pytest.raises(InputError, match=r"q_head.bias has shape \(3,\)"):
        family.load_weights(wrong)
    with pytest.raises(InputError, match="no symbols that are alike"):
        config_for("sudoku", make_task("brackets").spec)
    with pytest.raises(InputError, match="configs is empty"):
        ModelFamily([])
