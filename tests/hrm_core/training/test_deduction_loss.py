"""The losses of learned deduction against sums written out by hand."""

from __future__ import annotations

import math

import torch

from sage.hrm_core.config.fronts import TokenFront
from sage.hrm_core.model.candidates import contain, true_candidates
from sage.hrm_core.model.losses import IGNORED
from sage.hrm_core.model.recurrence import Output
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.deduction_config import DeductionConfig
from sage.hrm_core.training.deduction_loss import (
    MEANS,
    Truth,
    are_exact,
    cell_cross_entropy,
    deduction_loss,
    keep_loss,
    place_cross_entropy,
)

LINES = torch.tensor([[0, 1], [2, 3], [0, 2], [1, 3]])  # a latin square of 2


def truth(*, has_solution: bool = True) -> Truth:
    """Cells 0 and 3 have symbol 0, cells 1 and 2 symbol 1; cell 3 is decided."""
    labels = torch.tensor([[2, 3, 3, 2]])
    bits = (labels.unsqueeze(-1) - 2) == torch.arange(2)
    candidates = torch.ones(1, 4, 2, dtype=torch.bool)
    candidates[0, 3, 1] = False
    return Truth(labels=labels, bits=bits, candidates=candidates, has_solution=torch.tensor([has_solution]))


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_keep_and_kill_have_their_own_weights() -> None:
    keep = torch.zeros(1, 4, 2)
    keep[0, 0] = torch.tensor([2.0, 1.0])
    own = DeductionConfig(keep_weight=4.0, kill_weight=0.5)
    by_hand = 4 * softplus(-2.0) + 0.5 * softplus(1.0) + 2 * (4 + 0.5) * math.log(2)
    torch.testing.assert_close(keep_loss(keep, truth(), own), torch.tensor([by_hand / 6]))


def test_cross_entropies_are_over_cells_and_over_places() -> None:
    logits = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [0.0, 2.0], [0.0, -1e4]]])
    cells = (softplus(-1.0) + math.log(2) + softplus(-2.0)) / 3
    torch.testing.assert_close(cell_cross_entropy(logits, truth()), torch.tensor([cells]))
    # symbol 0: lines (0,1), (2,3), (0,2), (1,3); symbol 1: (0,1) and (0,2), the others have one place left
    places = [softplus(-1.0), math.log(2), softplus(-1.0), math.log(2), math.log(2), softplus(-2.0)]
    found = place_cross_entropy(logits, truth(), LINES)
    torch.testing.assert_close(found, torch.tensor([sum(places) / 6]))


def test_a_state_without_the_solution_has_a_conflict_loss_only() -> None:
    output = Output(
        logits=torch.zeros(1, 4, 4),
        q_halt=torch.zeros(1),
        keep=torch.zeros(1, 4, 2, requires_grad=True),
        conflict=torch.zeros(1, requires_grad=True),
    )
    config, own = TrainConfig(q_weight=0.0), DeductionConfig(conflict_weight=0.1)
    lost = deduction_loss(output, truth(has_solution=False), LINES, config, own)
    torch.testing.assert_close(lost.total, torch.tensor(0.1 * math.log(2)))
    lost.total.backward()
    assert output.conflict is not None
    assert output.conflict.grad is not None
    assert output.conflict.grad.item() < 0  # towards a conflict
    whole = dict(zip(MEANS, deduction_loss(output, truth(), LINES, config, own).means.tolist()))
    assert whole["keep_loss"] > 0
    assert whole["lm_loss"] > 0


def test_a_row_without_labels_has_no_solution_and_is_never_exact() -> None:
    """A state of a search that was proved to have none."""
    front = TokenFront(vocab_size=4, seq_len=4, positions="none", alike_from=2)
    labels = torch.tensor([[IGNORED] * 4, [2, 3, IGNORED, IGNORED]])
    everything = torch.ones(2, 4, 2, dtype=torch.bool)
    assert contain(everything, true_candidates(labels, front)).tolist() == [False, True]
    logits = torch.nn.functional.one_hot(torch.tensor([[2, 3, 2, 2]] * 2), 4).float()
    assert are_exact(logits, labels).tolist() == [False, True]
