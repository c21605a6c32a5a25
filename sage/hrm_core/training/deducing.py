"""One step of learned deduction: a call of the model for each state of the pool, a loss on every loop, then
the states move on by the model's own decisions.

Invariant: a step is a function of the pool, the weights and the generator, so that a run resumes bit for bit.
Shapes: B states, L cells, K interchangeable symbols.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.model.candidates import candidates_of, contain, true_candidates
from sage.hrm_core.model.hrm import HRM, ACTState, TokenBatch
from sage.hrm_core.model.recurrence import Output
from sage.hrm_core.tasks.contract import TaskSpec
from sage.hrm_core.tasks.lines import exclusive_lines
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.deduction_config import DeductionConfig
from sage.hrm_core.training.deduction_loss import MEANS, Truth, are_exact, deduction_loss
from sage.hrm_core.training.deduction_pool import Moved, moved


class DeductionSteps:
    """`learn(state, batch, generator, share=1.0)`: forward, backward and move of one lane."""

    #: Means over the pool (lost: states without the solution; wrong_kills: those that a kill of this call
    #: took it from), then sums over chains that ended.
    READOUT = (
        *MEANS,
        "lost",
        "wrong_kills",
        "count",
        "accuracy",
        "exact_accuracy",
        "q_halt_accuracy",
        "steps",
    )

    def __init__(self, model: HRM, spec: TaskSpec, config: TrainConfig) -> None:
        front = model.config.front
        assert isinstance(front, TokenFront)
        self._model = model
        self._front = front
        self._config = config
        self._own = config.deduction or DeductionConfig()
        device = next(model.parameters()).device
        self._lines = torch.from_numpy(exclusive_lines(spec)).to(device)  # (M, n)

    def learn(
        self, state: ACTState, batch: TokenBatch, generator: torch.Generator, *, share: float
    ) -> tuple[ACTState, Tensor]:
        """Chains that ended start again on `batch`. share: of this lane in the whole loss. Returns the moved
        pool and the readout, of READOUT's length."""
        model, own = self._model, self._own
        batch = replace(batch, candidates=candidates_of(batch.inputs, self._front))
        batch = batch.where(state.is_halted, state.batch)
        carry = model.inner.reset_rows(state.carry, state.is_halted)
        truth = self._truth(batch)
        means = torch.zeros(len(MEANS), device=batch.inputs.device)
        for _ in range(own.loops // own.gradient_loops):
            total = torch.zeros((), device=batch.inputs.device)
            for _ in range(own.gradient_loops):
                carry, output = model.inner.attached(carry, batch)
                loss = deduction_loss(output, truth, self._lines, self._config, own)
                total = total + loss.total
                means += loss.means / own.loops
            (total * (share / own.loops)).backward()
            carry = carry.detach()
        state = ACTState(
            carry=carry,
            batch=batch,
            num_segments=torch.where(state.is_halted, 0, state.num_segments) + 1,
            is_halted=state.is_halted,
        )
        move = moved(state, output, self._front, own, generator)
        is_fresh = torch.rand(len(move.is_ended), generator=generator).to(carry.z_H.device) < own.fresh_carry
        kept = replace(move.state, carry=model.inner.reset_rows(move.state.carry, is_fresh))
        return kept, torch.cat((means, _figures(state, output, truth, move)))

    def _truth(self, batch: TokenBatch) -> Truth:
        assert batch.candidates is not None
        bits = true_candidates(batch.labels, self._front)
        return Truth(
            labels=batch.labels,
            bits=bits,
            candidates=batch.candidates,
            has_solution=contain(batch.candidates, bits),
        )


def check_deduction(spec: TaskSpec, config: TrainConfig) -> None:
    """InputError where the task has no lines, or a setting has no meaning for a pool of states."""
    exclusive_lines(spec)
    for name in ("first_segments", "random_start", "state_noise", "guesses"):
        value = getattr(config, name)
        if value:
            raise InputError(f"{name} is {value}: it has no meaning in learned deduction: leave it out")


def _figures(state: ACTState, output: Output, truth: Truth, move: Moved) -> Tensor:
    """The rest of READOUT: lost and wrong_kills, then the sums over chains that ended."""
    assert output.logits is not None
    assert output.q_halt is not None
    is_scored = truth.bits.any(-1)  # (B, L)
    is_right = (output.logits.detach().argmax(-1) == truth.labels) & is_scored
    is_exact = are_exact(output.logits, truth.labels)
    ended = move.is_ended.float()
    sums = (
        torch.ones_like(ended),
        is_right.sum(-1) / is_scored.sum(-1).clamp(min=1),
        move.is_solved,
        (output.q_halt.detach() >= 0) == is_exact,
        state.num_segments,
    )
    means = torch.stack(((~truth.has_solution).float().mean(), move.is_killed.float().mean()))
    return torch.cat((means, torch.stack([(each * ended).sum() for each in sums])))
