"""The models of a puzzle stream: one set of weights for every level, fresh or shipped."""

from __future__ import annotations

import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.model.hrm import TokenBatch
from sage.hrm_core.solving.published import load_published
from sage.hrm_core.tasks.catalogue import make_task
from sage.runtime.config import SolvingConfig
from sage.runtime.sleep.puzzles.family_trainer import check_learns
from sage.runtime.solving.models import family_for, segments_of


def specs(*tasks):
    return [make_task(name, **options).spec for name, options in tasks]


SUDOKUS = specs(("sudoku", {"size": 4}), ("sudoku", {"size": 6}), ("sudoku", {"size": 9}))
MAZES = specs(*(("maze", {"size": size, "difficulty": "easy"}) for size in (6, 8)))


@pytest.mark.parametrize("levels", [SUDOKUS, MAZES])
def test_fresh_weights_are_shared_by_all_levels(levels):
    family = family_for(levels, SolvingConfig())
    assert [member.config.front.seq_len for member in family.members] == [spec.seq_len for spec in levels]
    assert family.weights().keys() == family[0].state_dict().keys()
    assert not family.training


def test_the_seed_decides_fresh_weights():
    one, two, three = (family_for(SUDOKUS[:1], SolvingConfig(), seed=seed).weights() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], three[name]) for name in one)


def test_shipped_weights_serve_every_level():
    family = family_for(SUDOKUS, SolvingConfig(weights="sudoku4"))
    shipped = load_published("sudoku4").model.state_dict()
    assert all(torch.equal(tensor, shipped[name]) for name, tensor in family[2].state_dict().items())


def test_two_nets_have_weights_of_their_own_and_can_be_trained_one_at_a_time():
    family = family_for(SUDOKUS[:1], SolvingConfig(two_nets=True))
    inner = family[0].inner
    assert not family[0].config.shares_nets
    assert not {id(each) for each in inner.H_level.parameters()} & {
        id(each) for each in inner.L_level.parameters()
    }
    check_learns(family, "high")
    with pytest.raises(InputError, match=r"solving\.two_nets"):
        check_learns(family_for(SUDOKUS[:1], SolvingConfig()), "high")


def test_the_hidden_size_is_that_of_the_section():
    family = family_for(SUDOKUS[:1], SolvingConfig(hidden_size=16))
    assert family[0].config.hidden_size == 16


def test_weights_of_another_task_are_refused():
    with pytest.raises(InputError, match="interchangeable"):
        family_for(MAZES, SolvingConfig(weights="sudoku4"))


def test_fresh_weights_of_one_segment_are_trained_for_one():
    section = SolvingConfig(max_segments=1)
    model = family_for(SUDOKUS[:1], section)[0]
    assert model.config.halt_max_segments == segments_of(model, section) == 1


@pytest.mark.parametrize("reasoner", ["transformer", "mlp"])
def test_a_reasoner_without_recurrence_computes_one_segment_with_about_as_many_parameters(reasoner):
    family = family_for(SUDOKUS, SolvingConfig(), reasoner=reasoner)
    model, recurrent = family[0], family_for(SUDOKUS[:1], SolvingConfig())[0]
    assert segments_of(model, SolvingConfig()) == 1
    assert segments_of(recurrent, SolvingConfig()) == SolvingConfig().max_segments
    own, other = (sum(each.numel() for each in one.parameters()) for one in (model, recurrent))
    assert 0.65 < own / other < 1.25


@pytest.mark.parametrize("levels", [SUDOKUS, MAZES])
def test_the_linear_reasoner_is_a_linear_map_of_the_cells(levels):
    """Of each cell's symbol as a one-hot vector: changes of two cells add up."""
    model = family_for(levels, SolvingConfig(), reasoner="linear")[0]
    assert segments_of(model, SolvingConfig()) == 1
    cells = torch.ones(4, levels[0].seq_len, dtype=torch.long)
    cells[[2, 3], 0] = cells[[1, 3], 5] = 2
    rows = TokenBatch(inputs=cells, labels=cells, puzzle_ids=torch.zeros(4, dtype=torch.long))
    neither, second, first, both = segment_of(model, rows)
    assert (second - neither).abs().max() > 1e-3
    torch.testing.assert_close(both - first, second - neither, atol=1e-5, rtol=1e-4)


def test_the_linear_reasoner_has_one_set_of_weights_where_symbols_are_interchangeable():
    weights = family_for(SUDOKUS, SolvingConfig(), reasoner="linear").weights()
    assert not any(name.startswith("member") for name in weights)


@torch.no_grad()
def segment_of(model, rows):
    return model.segment(model.initial_carry(len(rows.inputs)), rows)[1].logits


def test_a_reasoner_without_recurrence_takes_no_shipped_weights():
    with pytest.raises(InputError, match=r"leave out solving\.weights"):
        family_for(SUDOKUS, SolvingConfig(weights="sudoku4"), reasoner="mlp")
