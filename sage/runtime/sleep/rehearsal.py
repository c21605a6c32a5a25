"""A night of any classifier: it rehearses labelled experiences with their stored outputs, then is examined.

loss = beta CE(f(x'), y) + alpha |f(x') - z|^2: x' is an augmentation of x that keeps y, z the stored
logits (DER++: Buzzega et al. 2020, "Dark Experience for General Continual Learning", section 3).
Invariant: the given model changes only when a candidate is accepted, after its examination.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sage.errors import InputError
from sage.memory.stores.labelled import Labelled
from sage.runtime.report import SleepOutcome
from sage.runtime.sleep.collapse import find_collapse
from sage.runtime.sleep.elastic import elastic_of_labelled
from sage.runtime.sleep.judge import Verdict, judge, too_many_rejected

MAX_GRAD_NORM = 1.0

#: Experiences (n, ...), their contexts (n,) and a generator, to augmented experiences: labels do not change.
Augment = Callable[[Tensor, Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalPlan:
    """Settings of a night.

    batch_size: shared equally between the contexts.  alpha, beta: of stored logits and of labels.  ewc: of
    the penalty of elastic weight consolidation (`ElasticWeights`); 0: none.
    refresh_at: the part of the night after which stored logits are computed again, by the candidate.
    min_examined: with fewer there is no night.  max_synthetic: the largest share of experiences that a model
    or a generator made.
    """

    num_steps: int = 300
    batch_size: int = 64
    learning_rate: float = 1e-3
    alpha: float = 0.3
    beta: float = 0.8
    ewc: float = 0.0
    refresh_at: float = 0.5
    min_examined: int = 64
    max_synthetic: float = 0.5
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """The result of a night. outputs: (N, K) refreshed logits of the replay, None unless accepted."""

    verdict: Verdict
    num_steps: int
    num_rejected: int
    cpu_secs: float
    outputs: Tensor | None = None


def rehearsal_loss(
    outputs: Tensor, labels: Tensor, stored: Tensor, *, alpha: float = 0.3, beta: float = 0.8
) -> Tensor:
    """beta CE + alpha mean |f(x) - z|^2, over all n experiences. outputs, stored: (n, K); labels: (n,)."""
    return beta * F.cross_entropy(outputs, labels) + alpha * F.mse_loss(outputs, stored)


def rehearse(
    model: nn.Module,
    replay: Labelled,
    examined: Labelled,
    is_new: np.ndarray,
    plan: RehearsalPlan,
    *,
    augment: Augment | None = None,
) -> Rehearsed:
    """Train a candidate on `replay` and put its weights in `model` if the examination accepts it.

    examined: held-out experiences, never replayed.  is_new: (num_examined,) bool, from after the last night.
    All examined experiences are judged together, each context with equal weight, and those that are not new
    must not lose: waking may have spoiled the old ones, and repairing them is what the night is for.
    InputError when replay is empty.
    """
    started = time.process_time()
    reason = _why_skip(replay, examined, plan)
    if reason:
        verdict = Verdict(outcome=SleepOutcome.SKIPPED, reason=reason)
        return Rehearsed(verdict=verdict, num_steps=0, num_rejected=0, cpu_secs=0.0)
    candidate = copy.deepcopy(model)
    before = _outputs(model, examined.inputs)
    outputs, num_steps = _train(candidate, replay, plan, augment)
    after = _outputs(candidate, examined.inputs)
    verdict = _examine(before, after, examined, is_new, plan.seed)
    num_rejected = plan.num_steps - num_steps
    problem = _synthetic_diet(replay, plan) or too_many_rejected(num_rejected, plan.num_steps)
    if problem:
        verdict = dataclasses.replace(verdict, outcome=SleepOutcome.ROLLED_BACK, reason=problem)
    is_accepted = verdict.outcome is SleepOutcome.ACCEPTED
    if is_accepted:
        model.load_state_dict(candidate.state_dict())
    return Rehearsed(
        verdict=verdict,
        num_steps=num_steps,
        num_rejected=num_rejected,
        cpu_secs=time.process_time() - started,
        outputs=outputs if is_accepted else None,
    )


def _why_skip(replay: Labelled, examined: Labelled, plan: RehearsalPlan) -> str:
    if len(replay) == 0:
        raise InputError("replay is empty: store experiences before a night")
    if len(examined) < plan.min_examined:
        return f"{len(examined)} experiences to examine, at least {plan.min_examined} are required"
    return ""


def _synthetic_diet(replay: Labelled, plan: RehearsalPlan) -> str:
    share = 1.0 - float(replay.is_real.float().mean())
    if share <= plan.max_synthetic:
        return ""
    return f"{share:.0%} of the replay is synthetic, at most {plan.max_synthetic:.0%} is permitted"


def _train(
    model: nn.Module, replay: Labelled, plan: RehearsalPlan, augment: Augment | None
) -> tuple[Tensor, int]:
    """Returns the stored outputs at the end of the night (N, K), and the number of steps taken."""
    generator = torch.Generator().manual_seed(plan.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=plan.learning_rate, fused=True)
    groups = [torch.nonzero(replay.contexts == context)[:, 0] for context in replay.contexts.unique()]
    stored, num_taken = replay.outputs.clone(), 0
    model.train()
    elastic = elastic_of_labelled(model, replay, strength=plan.ewc)
    for step in range(plan.num_steps):
        optimizer.param_groups[0]["lr"] = plan.learning_rate * _rate_share(step, plan.num_steps)
        if step == math.ceil(plan.refresh_at * plan.num_steps):
            stored = _outputs(model, replay.inputs)
            model.train()
        rows = _stratified(groups, plan.batch_size, generator)
        inputs = replay.inputs[rows]
        if augment is not None:
            inputs = augment(inputs, replay.contexts[rows], generator)
        loss = rehearsal_loss(
            model(inputs), replay.labels[rows], stored[rows], alpha=plan.alpha, beta=plan.beta
        )
        loss = loss if elastic is None else loss + elastic.penalty()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        if torch.isfinite(norm):  # sync: a bad step must not be taken
            optimizer.step()
            num_taken += 1
    model.eval()
    return stored, num_taken


def _rate_share(step: int, num_steps: int) -> float:
    """A cosine from 1 to 0."""
    return 0.5 + 0.5 * math.cos(math.pi * step / num_steps)


def _stratified(groups: list[Tensor], batch_size: int, generator: torch.Generator) -> Tensor:
    """Rows of a batch: equally many from each context, with replacement, 1 or more."""
    num_each = max(batch_size // len(groups), 1)
    return torch.cat([group[torch.randint(len(group), (num_each,), generator=generator)] for group in groups])


@torch.no_grad()
def _outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    model.eval()
    outputs: Tensor = model(inputs)
    return outputs


def _examine(before: Tensor, after: Tensor, examined: Labelled, is_new: np.ndarray, seed: int) -> Verdict:
    losses = [
        F.cross_entropy(outputs, examined.labels, reduction="none").double().cpu().numpy()
        for outputs in (before, after)
    ]
    counts = torch.bincount(examined.contexts)[examined.contexts].double().cpu().numpy()
    weights = (1.0 / counts) * len(counts) / np.count_nonzero(np.bincount(examined.contexts.cpu().numpy()))
    verdict = judge(losses[0] * weights, losses[1] * weights, is_new, seed, is_whole=True)
    if np.isfinite(losses[1]).all():
        collapse = find_collapse(before, after, examined.labels)
        if collapse:
            return dataclasses.replace(verdict, outcome=SleepOutcome.ROLLED_BACK, reason=collapse)
    return verdict
