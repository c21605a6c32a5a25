"""One recurrence for both papers: a slow H state and a fast L state, refined in cycles (HRM 2.1; TRM 4).

Invariant: state goes in and comes out as a Carry; the module holds weights alone.
Shapes: B rows, S tokens, D hidden (each net's own, where their widths differ).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.model.layers import Linear, Net, Stencil, truncated_normal_
from sage.hrm_core.model.perturbation import Perturbation


@dataclass(frozen=True, slots=True, kw_only=True)
class Carry:
    """The recurrent state: z_H, z_L, each (B, S, D)."""

    z_H: Tensor
    z_L: Tensor

    def detach(self) -> Carry:
        return Carry(z_H=self.z_H.detach(), z_L=self.z_L.detach())


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What the heads read from z_H after a segment; None where the front end has no such head.

    logits (B, L, V).  q_halt, q_continue (B,), before the sigmoid.  prediction, level (B, C), standardised
    corrections (observation.py).
    action_mean, action_log_std (B, A), before the tanh.  value (B, W): of each world.
    keep (B, L, K), conflict (B,), before the sigmoid: whether candidate k of a cell is part of the solution,
    and whether the candidates exclude it.
    """

    logits: Tensor | None = None
    q_halt: Tensor | None = None
    q_continue: Tensor | None = None
    prediction: Tensor | None = None
    level: Tensor | None = None
    action_mean: Tensor | None = None
    action_log_std: Tensor | None = None
    value: Tensor | None = None
    keep: Tensor | None = None
    conflict: Tensor | None = None


class Recurrence(nn.Module):
    """The two nets (or one that is both), their start and their cycles. A front end derives from it.

    The dtype of the start is the dtype of the carry, and so of every activation; weights are cast where they
    are used.
    """

    H_init: Tensor
    L_init: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # Drawn once and never trained, so they travel with the weights.
        self.register_buffer("H_init", torch.empty(config.hidden_size))  # (D,)
        self.register_buffer("L_init", torch.empty(config.L_size))  # (D,), L's
        self.has_bridges = config.is_recurrent and config.L_size != config.hidden_size
        if not config.is_recurrent:
            return
        if not config.shares_nets:
            self.H_level = Net(config, config.H_layers, config.hidden_size)
        self.L_level = Net(config, config.L_layers, config.L_size)
        if self.has_bridges:
            self.H_to_L = Linear(config.hidden_size, config.L_size)
            self.L_to_H = Linear(config.L_size, config.hidden_size)

    def init_recurrence(self, generator: torch.Generator) -> None:
        """H_init, L_init: std 1, rounded to bf16 as published files store them.  nets: std 1/sqrt(fan_in); of
        a stencil, 1/3.
        """
        for start in (self.H_init, self.L_init):
            truncated_normal_(start, 1.0, generator).copy_(start.bfloat16())
        for module in self.modules():
            if isinstance(module, Linear):
                truncated_normal_(module.weight, module.weight.shape[1] ** -0.5, generator)
            elif isinstance(module, Stencil):
                truncated_normal_(module.weight, 1 / 3, generator)

    def initial_carry(
        self, batch_size: int, device: torch.device | str | None = None, *, num_tokens: int | None = None
    ) -> Carry:
        """A fresh carry for each row, on the weights' device unless another is named, of the front's length
        unless another is.
        """
        device, rows = (
            device or self.H_init.device,
            (batch_size, num_tokens or self.config.front.num_tokens, -1),
        )
        return Carry(
            z_H=self.H_init.to(device).expand(rows).contiguous(),  # (B, S, D)
            z_L=self.L_init.to(device).expand(rows).contiguous(),
        )

    @property
    def nets(self) -> tuple[Net, ...]:
        """Each net once: L, and H unless it is the same; none without recurrence."""
        if not self.config.is_recurrent:
            return ()
        return (self.L_level,) if self.config.shares_nets else (self.L_level, self.H_level)

    def is_strategic(self, parameter_name: str) -> bool:
        """Whether the parameter belongs to the H net, which is trained only during sleep. Shared nets have
        none.
        """
        return parameter_name.startswith("H_level.")

    def reset_rows(self, carry: Carry, is_reset: Tensor, perturbation: Perturbation | None = None) -> Carry:
        """Rows where is_reset (B,) restart at H_init and L_init, or where `perturbation` starts them; the
        others are unchanged.
        """
        rows = is_reset[:, None, None]
        H_start, L_start = self.H_init, self.L_init
        if perturbation is not None and perturbation.start_std:
            H_start, L_start = perturbation.start(carry.z_H), perturbation.start(carry.z_L)
        return Carry(z_H=torch.where(rows, H_start, carry.z_H), z_L=torch.where(rows, L_start, carry.z_L))

    def compute_in(self, dtype: torch.dtype) -> None:
        """Compute in `dtype` from the next carry on; weights keep theirs. H_init and L_init are exact in
        bf16.
        """
        self.H_init, self.L_init = self.H_init.to(dtype), self.L_init.to(dtype)

    def refine(
        self,
        carry: Carry,
        x_BSD: Tensor,
        rope: Tensor | None = None,
        perturbation: Perturbation | None = None,
    ) -> Carry:
        """One segment: H_cycles times (L_cycles of z_L = f_L(z_L, z_H + x), then z_H = f_H(z_H, z_L)), each
        update damped by config.damping.

        Only the part that config.gradient names is differentiated; what comes before it runs without a graph.
        """
        config, f_L = self.config, self.L_level
        f_H = self.L_level if config.shares_nets else self.H_level
        first_call = config.num_calls - config.num_gradient_calls
        z_H, z_L = carry.z_H, carry.z_L
        for call in range(config.num_calls):  # each L call, and the H call that closes its cycle
            with torch.set_grad_enabled(torch.is_grad_enabled() and call >= first_call):
                injection = z_H + x_BSD
                next_L = f_L(z_L, self.H_to_L(injection) if self.has_bridges else injection, rope)
                z_L = self.damped(z_L, next_L, perturbation)
                if (call + 1) % config.L_cycles == 0:
                    next_H = f_H(z_H, self.L_to_H(z_L) if self.has_bridges else z_L, rope)
                    z_H = self.damped(z_H, next_H, perturbation)
        return Carry(z_H=z_H, z_L=z_L)

    def damped(self, z_BSD: Tensor, next_BSD: Tensor, perturbation: Perturbation | None = None) -> Tensor:
        """The state after a call that computed `next` from `z`: damping z + (1 - damping) next, and noise."""
        if self.config.damping:
            next_BSD = torch.lerp(next_BSD, z_BSD, self.config.damping)
        return next_BSD if perturbation is None else perturbation.with_noise(next_BSD)
