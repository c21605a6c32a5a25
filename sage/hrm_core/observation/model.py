"""The front end of the loop: one tick of sensor readings in, predictions, value and action out.

Invariant: where a source is not present nothing of its reading, old or new, enters the model. An untrained
model proposes exactly 0. Shapes: B rows, N sources, C channels of all sources, M channels of the widest,
F = 2 M + 2 features of a source, S = N + 2 tokens, D hidden, A actions, W worlds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sage.hrm_core.config.model import ModelConfig, ObservationFront
from sage.hrm_core.model.layers import truncated_normal_
from sage.hrm_core.model.recurrence import Carry, Output, Recurrence
from sage.hrm_core.observation.fields import TickFields

#: Standardised features are cut here: one spiking channel must not saturate attention for all the others.
FEATURE_LIMIT = 8.0
#: The unit of a residual: never below a thousandth of a deviation, and slow to move once known.
MIN_RESIDUAL_SCALE, SCALE_RATE = 1e-3, 0.01
LOG_STD_MIN, LOG_STD_MAX = -4.0, 0.5
#: Start of q_halt (HRM): halting is rare until it is learned.
Q_HALT_BIAS = -5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation(TickFields[Tensor]):
    """One tick of B rows, in units of the training statistics: fields (B, C) and (B, N)."""


class ObservationModel(Recurrence):
    """`carry, output = model(carry, observation)` is one segment; the caller decides how many a tick.

    The token of source i is e_i + weight_i present_i (W_i features_i + b_i): distrust leads smoothly to
    absence, and an absent source keeps its learned token e_i, which others may attend to and its `level` is
    read from.
    Two more tokens: the readout (value, q_halt, action) and a register.
    prediction corrects values + skip, towards the next reading; level corrects cross, towards this tick's
    reading of an absent source. `cross` enters after the last exchange between tokens: one source's cross is
    made from another's reading, and through the tokens an absent source would see itself. `skip`, made of all
    of them too, does not enter at all.
    """

    feature_index: Tensor
    head_index: Tensor
    token_world: Tensor
    channel_source: Tensor
    residual_scale: Tensor
    num_scaled: Tensor

    def __init__(self, config: ModelConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__(config)
        if not isinstance(config.front, ObservationFront):
            raise TypeError(
                f"front is a {type(config.front).__name__}: ObservationModel needs an ObservationFront"
            )
        self.front = front = config.front
        num_sources, size, widest = front.num_sources, config.hidden_size, max(front.source_dims)
        num_features = 2 * widest + 2
        self.source_weight = nn.Parameter(
            torch.empty(num_sources, num_features, size)
        )  # (N, F, D), 0 where padded
        self.source_bias = nn.Parameter(torch.empty(num_sources, 1, size))  # (N, 1, D)
        self.source_token = nn.Parameter(torch.empty(num_sources, 1, size))  # (N, 1, D): e_i
        self.extra_tokens = nn.Parameter(torch.empty(2, 1, size))  # (2, 1, D): readout, register
        self.head_weight = nn.Parameter(
            torch.empty(num_sources, size, 2 * widest)
        )  # (N, D, 2 M): prediction, level
        self.head_bias = nn.Parameter(torch.empty(num_sources, 1, 2 * widest))  # (N, 1, 2 M)
        self.cross_weight = nn.Parameter(torch.empty(front.num_channels))  # (C,)
        num_read = front.num_worlds + 1 + 2 * front.num_actions
        self.readout_weight = nn.Parameter(torch.empty(num_read, size))  # values, q_halt, mean, log std
        self.readout_bias = nn.Parameter(torch.empty(num_read))
        self.register_buffer("feature_index", _feature_index(front.source_dims), persistent=False)  # (N F,)
        self.register_buffer("head_index", _head_index(front.source_dims), persistent=False)  # (2 C,)
        self.register_buffer("token_world", _token_world(front), persistent=False)  # (S,)
        channel_source = torch.repeat_interleave(
            torch.tensor(front.source_dims)
        )  # (C,): which source a channel is of
        self.register_buffer("channel_source", channel_source, persistent=False)
        # What the skip leaves can be a hundredth of a deviation of the level: heads and changes are in its
        # own unit.
        self.register_buffer("residual_scale", torch.ones(front.num_channels))  # (C,), in training deviations
        self.register_buffer(
            "num_scaled", torch.zeros(front.num_channels)
        )  # (C,): estimates that went into it
        self.init_weights(generator or torch.Generator().manual_seed(0))

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """
        nets, H_init, L_init   as in Recurrence.init_recurrence
        source_weight          truncated normal, std 1/sqrt(2 C_i + 2); 0 where padded
        source_bias            0
        source_token, extra    truncated normal, std 1
        heads, cross, readout  0; q_halt's bias -5, log std's bias log 0.5
        """
        self.init_recurrence(generator)
        truncated_normal_(self.source_weight, 1.0, generator)
        is_padded = (self.feature_index == 2 * self.front.num_channels + 2 * self.front.num_sources).view(
            self.front.num_sources, -1, 1
        )
        fan_in = (~is_padded).sum(1, keepdim=True)  # (N, 1, 1): 2 C_i + 2
        self.source_weight.mul_(fan_in.rsqrt()).masked_fill_(is_padded, 0.0)
        for token in (self.source_token, self.extra_tokens):
            truncated_normal_(token, 1.0, generator)
        for head in (
            self.head_weight,
            self.head_bias,
            self.cross_weight,
            self.readout_weight,
            self.readout_bias,
        ):
            head.zero_()
        self.source_bias.zero_()
        self.readout_bias[self.front.num_worlds] = Q_HALT_BIAS
        self.readout_bias[self.front.num_worlds + 1 + self.front.num_actions :] = torch.tensor(0.5).log()

    def forward(self, carry: Carry, observation: Observation) -> tuple[Carry, Output]:
        """One segment on carry (B, S, D). The carry comes back detached."""
        tokens = self._tokens(observation)
        carry = self.refine(carry, tokens) if self.config.is_recurrent else self._joined(carry, tokens)
        return carry.detach(), self._read(carry.z_H, observation.cross)

    def tokens_start_again(self, is_reset: Tensor) -> Tensor:
        """(..., S) bool, sources first: the tokens of the worlds that is_reset (..., W) names. What belongs
        to no world starts again where every world does that has sources.
        """
        is_all = is_reset[..., self.front.worlds_of_sources].all(-1, keepdim=True)
        return torch.cat((is_reset, is_all), dim=-1)[..., self.token_world]

    def start_again(self, carry: Carry, is_reset: Tensor) -> Carry:
        """The carry (B, S, D) with the initial one where worlds started again: is_reset (B, W)."""
        rows = self.tokens_start_again(is_reset).unsqueeze(-1)
        return Carry(
            z_H=torch.where(rows, self.H_init, carry.z_H), z_L=torch.where(rows, self.L_init, carry.z_L)
        )

    @torch.no_grad()
    def note_residuals(self, mean_square_C: Tensor) -> None:
        """What the skip left unexplained lately, mean squares in training variance, NaN where nothing was
        met.
        """
        is_met = mean_square_C.isfinite()
        rate = (1.0 / (self.num_scaled + 1.0)).clamp(min=SCALE_RATE)
        square = torch.lerp(self.residual_scale.square(), torch.where(is_met, mean_square_C, 0.0), rate)
        scale = square.sqrt().clamp(MIN_RESIDUAL_SCALE, 1.0)
        self.residual_scale.copy_(torch.where(is_met, scale, self.residual_scale))
        self.num_scaled += is_met

    def _tokens(self, observation: Observation) -> Tensor:
        """(B, S, D), for all sources in one batched product."""
        o, num_sources = observation, self.front.num_sources
        zero = o.values.new_zeros(o.values.shape[0], 1)  # what padding points at
        age = o.age_secs.log1p()
        deltas = o.deltas / self.residual_scale
        flat = torch.cat((o.values, deltas, o.fresh.to(age.dtype), age, zero), dim=1)  # (B, 2 C + 2 N + 1)
        features_BNF = flat.index_select(1, self.feature_index).view(flat.shape[0], num_sources, -1)
        features_BNF = torch.where(o.present[:, :, None], features_BNF, 0.0).clamp(
            -FEATURE_LIMIT, FEATURE_LIMIT
        )
        evidence_NBD = torch.baddbmm(self.source_bias, features_BNF.transpose(0, 1), self.source_weight)
        trust_NB1 = torch.where(o.present, o.weight, 0.0).t().unsqueeze(-1)
        sources_NBD = torch.addcmul(self.source_token, evidence_NBD, trust_NB1)
        extra_2BD = self.extra_tokens.expand(-1, flat.shape[0], -1)
        return torch.cat((sources_NBD, extra_2BD)).transpose(0, 1)

    def _joined(self, carry: Carry, tokens_BSD: Tensor) -> Carry:
        """In the place of the nets: each source keeps its token, and the readout is the sum of them, so that
        actions, value and predictions are linear in the features of one tick.
        """
        num_sources = self.front.num_sources
        sources, extra = tokens_BSD[:, :num_sources], tokens_BSD[:, num_sources:]
        readout = extra + sources.sum(1, keepdim=True) / num_sources**0.5
        return Carry(z_H=torch.cat((sources, readout), dim=1), z_L=carry.z_L)

    def _read(self, z_H_BSD: Tensor, cross_BC: Tensor) -> Output:
        num_sources, num_actions = self.front.num_sources, self.front.num_actions
        sizes = [self.front.num_worlds, 1, num_actions, num_actions]
        heads_NBM = torch.baddbmm(
            self.head_bias, z_H_BSD[:, :num_sources].transpose(0, 1), self.head_weight
        )  # (N, B, 2 M)
        heads_BC = heads_NBM.transpose(0, 1).flatten(1).index_select(1, self.head_index)  # (B, 2 C)
        prediction, level = heads_BC.chunk(2, dim=1)
        readout = F.linear(z_H_BSD[:, num_sources], self.readout_weight, self.readout_bias)
        value, q_halt, mean, log_std = torch.split(readout, sizes, dim=1)
        return Output(
            prediction=prediction * self.residual_scale,
            level=torch.addcmul(level, self.cross_weight, cross_BC),
            value=value,
            q_halt=q_halt.squeeze(1),
            action_mean=mean if num_actions else None,
            action_log_std=log_std.clamp(LOG_STD_MIN, LOG_STD_MAX) if num_actions else None,
        )


def _feature_index(source_dims: Sequence[int]) -> Tensor:
    """Where each source's padded features lie in cat(values, deltas, fresh, age, zero): (N F,)."""
    num_sources, num_channels, widest = len(source_dims), sum(source_dims), max(source_dims)
    zero = 2 * num_channels + 2 * num_sources
    index, first = [], 0
    for source, size in enumerate(source_dims):
        for part in range(2):
            start = part * num_channels + first
            index += [*range(start, start + size), *([zero] * (widest - size))]
        index += [2 * num_channels + source, 2 * num_channels + num_sources + source]
        first += size
    return torch.tensor(index)


def _token_world(front: ObservationFront) -> Tensor:
    """(S,) the world of each token; num_worlds for those of none, and for the readout and the register."""
    if front.num_worlds == 1:
        return torch.zeros(front.num_tokens, dtype=torch.int64)
    worlds = [world if world >= 0 else front.num_worlds for world in front.source_worlds]
    return torch.tensor([*worlds, front.num_worlds, front.num_worlds])


def _head_index(source_dims: Sequence[int]) -> Tensor:
    """Where prediction, then level, of each channel lie in the padded heads (N, 2 M) laid flat: (2 C,)."""
    widest = max(source_dims)
    starts = [(2 * source * widest, size) for source, size in enumerate(source_dims)]
    return torch.tensor(
        [start + half * widest + i for half in (0, 1) for start, size in starts for i in range(size)]
    )
