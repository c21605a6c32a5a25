"""L-level learning while awake: one small step at a time on recent transitions.

Practice trains the L net, the front end and the heads; the H net is left to sleep, so that tactics adapt
while strategy holds (FEATURES: two training loops). Invariant: a step that is not finite changes nothing.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from sage.hrm_core.observation import ObservationModel
from sage.hrm_core.observation_loss import window_loss
from sage.memory.transitions import TransitionRing
from sage.runtime.config import PracticeConfig

STRATEGIC = "H_level."
MAX_GRAD_NORM = 1.0
NUM_COSTS = 64


class Practice:
    """Owns the optimizer of the live model. `num_steps`, `loss`: what was done so far."""

    def __init__(self, model: ObservationModel, ring: TransitionRing, config: PracticeConfig, num_segments: int, seed: int) -> None:
        self._model, self._ring, self._config, self._num_segments = model, ring, config, num_segments
        self._generator = torch.Generator().manual_seed(seed)
        self._costs_ns: list[int] = []
        self.num_steps = 0
        self.num_rejected = 0
        self.loss = math.nan
        self.restart()

    def restart(self) -> None:
        """New optimizer state: after a swap of weights the old moments mean nothing."""
        trained = [p for name, p in self._model.named_parameters() if not name.startswith(STRATEGIC)]
        self._parameters = trained
        self._optimizer = torch.optim.AdamW(trained, lr=self._config.learning_rate, betas=(0.9, 0.95), weight_decay=0.01)

    def is_due(self, tick: int) -> bool:
        return self._config.enabled and tick % self._config.every_ticks == 0

    def fits(self, remaining_ns: int) -> bool:
        """Would a step's 99th percentile of cost fit? True before the first measurement."""
        return not self._costs_ns or float(np.quantile(self._costs_ns, 0.99)) <= remaining_ns

    def note_cost(self, cost_ns: int) -> None:
        self._costs_ns = [*self._costs_ns[-(NUM_COSTS - 1) :], cost_ns]

    def step(self) -> bool:
        """One optimizer step on sampled windows; False when there are not enough transitions or it was not finite."""
        window = self._ring.sample(self._config.batch_size, self._config.window_ticks, self._generator)
        if window is None:
            return False
        self._model.train()
        loss, _ = window_loss(
            self._model,
            window,
            burn_in=self._config.burn_in_ticks,
            num_segments=self._num_segments,
            mask_probability=self._config.mask_probability,
            generator=self._generator,
        )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, MAX_GRAD_NORM)
        is_finite = bool(torch.isfinite(norm)) and bool(torch.isfinite(loss))  # sync: a bad step must not be taken
        if is_finite:
            self._optimizer.step()
            self.num_steps += 1
            self.loss = float(loss.detach())  # sync: reported
        else:
            self.num_rejected += 1
        self._model.eval()
        return is_finite
