"""The loss of a step against the published one, and its figures against a count by hand."""

from __future__ import annotations

import pytest
import torch

from sage.hrm_core.model.losses import IGNORED, CrossEntropyKind, act_loss
from sage.hrm_core.model.recurrence import Output
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.objective import READOUT, segment_loss


def _output(seed: int = 0) -> tuple[Output, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    output = Output(
        logits=torch.randn(4, 5, 3, generator=generator),
        q_halt=torch.randn(4, generator=generator),
        q_continue=torch.randn(4, generator=generator),
    )
    labels = torch.randint(0, 3, (4, 5), generator=generator)
    labels[0, :2] = IGNORED
    labels[3] = IGNORED
    return output, labels


@pytest.mark.parametrize("kind", ["stablemax", "softmax"])
@pytest.mark.parametrize("target", [None, torch.tensor([0.1, 0.5, 0.9, 0.3])])
def test_without_smoothing_it_is_the_published_loss(
    kind: CrossEntropyKind, target: torch.Tensor | None
) -> None:
    output, labels = _output()
    config = TrainConfig(cross_entropy=kind)
    ours = segment_loss(
        output,
        labels,
        config,
        num_segments=torch.ones(4),
        is_halted=torch.ones(4, dtype=torch.bool),
        q_continue=target,
    )
    torch.testing.assert_close(ours.total, act_loss(output, labels, q_continue=target, kind=kind).total)


def test_smoothing_is_torchs() -> None:
    output, labels = _output()
    labels = labels.clamp(min=0)
    config = TrainConfig(cross_entropy="softmax", label_smoothing=0.2, q_weight=0.0)
    ours = segment_loss(
        output, labels, config, num_segments=torch.ones(4), is_halted=torch.ones(4, dtype=torch.bool)
    )
    assert output.logits is not None
    expected = torch.nn.functional.cross_entropy(
        output.logits.flatten(0, 1), labels.flatten(), label_smoothing=0.2
    )
    torch.testing.assert_close(ours.total, expected)


def test_figures_count_finished_rows_that_have_labels() -> None:
    labels = torch.tensor([[0, 1], [0, 1], [IGNORED, 1], [IGNORED, IGNORED]])
    answers = torch.tensor([[0, 1], [0, 0], [2, 1], [0, 0]])
    q_halt = torch.tensor([1.0, 1.0, -1.0, 1.0])
    output = Output(logits=torch.nn.functional.one_hot(answers, 3).float(), q_halt=q_halt)
    found = segment_loss(
        output,
        labels,
        TrainConfig(),
        num_segments=torch.tensor([3, 2, 5, 1]),
        is_halted=torch.tensor([True, True, False, True]),
    )
    figures = dict(zip(READOUT, found.readout.tolist()))
    assert figures["count"] == 2
    assert figures["accuracy"] == pytest.approx(1.5)
    assert figures["exact_accuracy"] == 1
    assert figures["q_halt_accuracy"] == 1
    assert figures["steps"] == 5
