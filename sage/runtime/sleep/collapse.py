"""Signs that a candidate has collapsed: its answers no longer depend on its inputs.

A model trained on its own output loses the tails of the distribution first (Shumailov et al. 2024, "AI models
collapse when trained on recursively generated data").
"""

from __future__ import annotations

import torch
from torch import Tensor

#: A candidate keeps at least this share of the entropy of its answers, and of their spread over inputs.
MIN_SHARE = 0.5
#: Above this share of the labels' own most frequent class, one answer is given too often.
MAX_REPETITION = 2.0
#: An entropy in nats under which there is no difference between answers to lose.
LEAST_ENTROPY = 0.05


def find_collapse(before: Tensor, after: Tensor, labels: Tensor) -> str:
    """What collapsed, in words, or "". before, after: (n, K) logits of the same inputs; labels: (n,).

    Watched: the entropy of the mean answer, the spread of answers over inputs, the most frequent answer, and
    accuracy against always giving the most frequent label.
    """
    answers = after.argmax(-1)
    most = float(torch.bincount(answers).max()) / len(answers)
    trivial = float(torch.bincount(labels).max()) / len(labels)
    entropy = _entropy_of_mean(after), _entropy_of_mean(before)
    spread = _spread(after), _spread(before)
    if entropy[1] > LEAST_ENTROPY and entropy[0] < MIN_SHARE * entropy[1]:
        return (
            f"the candidate collapsed: answers have an entropy of {entropy[0]:.2f}, before {entropy[1]:.2f}"
        )
    if spread[0] < MIN_SHARE**2 * spread[1]:
        return f"the candidate collapsed: its answers vary {spread[0] / spread[1]:.0%} as much with the input"
    if trivial < 1 / MAX_REPETITION and most > MAX_REPETITION * trivial:
        return (
            f"the candidate collapsed: it gives one answer to {most:.0%} of inputs, the labels {trivial:.0%}"
        )
    accuracy = [float((each.argmax(-1) == labels).float().mean()) for each in (before, after)]
    if accuracy[1] <= trivial < accuracy[0]:
        return (
            f"the candidate collapsed: accuracy {accuracy[1]:.1%}, that of one constant answer {trivial:.1%}"
        )
    return ""


def _entropy_of_mean(logits: Tensor) -> float:
    mean = logits.float().softmax(-1).mean(0)
    return float(-(mean * mean.clamp(min=1e-12).log()).sum())


def _spread(logits: Tensor) -> float:
    """Variance of the answers over inputs, summed over classes."""
    return float(logits.float().softmax(-1).var(0, correction=0).sum())
