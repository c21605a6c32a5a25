"""L-level learning between ticks: small steps on recent transitions, in slices that fit before the next tick.

By default practice trains the L net, the front end and the heads; only sleep trains the H net
(`practice.trains`, `sleep.trains`). Invariants: a slice starts only if the 99th percentile of its cost fits
before the deadline; a step that is not finite changes nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import numpy as np
import torch

from sage.hrm_core.observation.loss import Lesson, LossSettings
from sage.hrm_core.observation.model import ObservationModel
from sage.hrm_core.observation.targets import residual_squares
from sage.mailbox.clock import Clock
from sage.memory.windows.transitions import TransitionRing
from sage.runtime.config import ActingConfig, PracticeConfig
from sage.runtime.sleep.levels import trained_weights

MAX_GRAD_NORM = 1.0
NUM_COSTS = 64
#: Of the optimizer, for each weight.
MOMENTS = ("exp_avg", "exp_avg_sq", "step")
PATIENCE = 8  # slices deferred in a row before the batch size is halved


class Practice:
    """Owns the optimizer of the live model. num_steps: steps so far.  loss: of the last step.

    is_enabled: whether `work` does anything; the configuration's, until it is set.
    """

    def __init__(
        self,
        model: ObservationModel,
        ring: TransitionRing,
        config: PracticeConfig,
        *,
        num_segments: int,
        seed: int,
        clock: Clock,
        acting: ActingConfig | None = None,
    ) -> None:
        self._model = model
        self._ring = ring
        self._config = config
        self._settings = loss_settings(config, acting or ActingConfig())
        self._num_segments = num_segments
        self._clock = clock
        self._generator = torch.Generator().manual_seed(seed)
        self._unroll_cost = Cost()
        self._finish_cost = Cost()
        self._batch_size = config.batch_size
        self._lesson: Lesson | None = None
        self._parts: list[slice] = []  # of the lesson's windows, not learned from yet
        self.is_enabled = config.enabled
        self.num_steps = 0
        self.num_rejected = 0
        self.loss = math.nan
        self.restart()

    def restart(self) -> None:
        """Drop the current lesson and the optimizer's moments, which belong to the old weights."""
        self._lesson = None
        self._parameters = trained_weights(self._model, self._config.trains)
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=self._config.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=self._config.weight_decay,
        )

    def state(self) -> dict[str, np.ndarray]:
        """The optimizer's moments, by weight."""
        return {
            f"{name}.{key}": self._optimizer.state[weight][key].cpu().numpy()
            for name, weight in self._trained().items()
            if weight in self._optimizer.state
            for key in MOMENTS
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """The moments of weights that a snapshot does not have, as of an earlier version, begin anew."""
        self.restart()
        for name, weight in self._trained().items():
            found = {key: state.get(f"{name}.{key}") for key in MOMENTS}
            arrays = {key: array for key, array in found.items() if array is not None}
            if len(arrays) < len(MOMENTS) or arrays["exp_avg"].shape != weight.shape:
                continue
            self._optimizer.state[weight] = {
                key: torch.tensor(array, device="cpu" if key == "step" else weight.device)
                for key, array in arrays.items()
            }

    def _trained(self) -> dict[str, torch.nn.Parameter]:
        """The weights that practice changes, by name."""
        trained = set(self._parameters)
        return {name: weight for name, weight in self._model.named_parameters() if weight in trained}

    def work(self, tick: int, deadline_ns: int, max_steps: int, num_ticks: int = 1) -> None:
        """Run the slices that fit before `deadline_ns`, up to `max_steps` steps.

        A lesson starts every `every_ticks` ticks.  num_ticks: since the last call, `tick` being the last.
        """
        if not self.is_enabled:
            return
        num_left = max_steps
        while num_left and (
            self._lesson is not None or (tick % self._config.every_ticks < num_ticks and self._begin())
        ):
            lesson = self._lesson
            assert lesson is not None
            cost = self._finish_cost if lesson.is_unrolled else self._unroll_cost
            started_ns = self._clock.now_ns()
            if not cost.fits(deadline_ns - started_ns):
                self._defer(cost)
                return
            if lesson.is_unrolled:
                self._finish(lesson)
                num_left -= 1
            else:
                lesson.advance()
            cost.note(self._clock.now_ns() - started_ns)

    def _begin(self) -> bool:
        window = self._ring.sample(self._batch_size, self._config.window_ticks, self._generator)
        if window is None:
            return False
        self._model.note_residuals(residual_squares(self._model, window))
        self._lesson = Lesson(
            self._model,
            window,
            burn_in=self._config.burn_in_ticks,
            num_segments=self._num_segments,
            mask_probability=self._config.mask_probability,
            generator=self._generator,
            settings=self._settings,
        )
        size = -(-len(window) // self._config.passes)
        self._parts = [slice(first, first + size) for first in range(0, len(window), size)]
        return True

    def _finish(self, lesson: Lesson) -> None:
        part = self._parts.pop(0)
        if not self._parts:
            self._lesson = None
        loss, _ = lesson.loss(part if self._parts or part.start else slice(None))
        self._model.zero_grad(set_to_none=True)  # also of the weights that are not trained
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, MAX_GRAD_NORM)
        host_norm, host_loss = torch.stack(
            (norm, loss.detach())
        ).tolist()  # sync: a step that is not finite is not taken
        if math.isfinite(host_norm) and math.isfinite(host_loss):
            self._optimizer.step()
            self.num_steps += 1
            self.loss = host_loss
        else:
            self.num_rejected += 1

    def _defer(self, cost: Cost) -> None:
        """Wait for a longer gap; after PATIENCE gaps halve the batch. Drops the oldest measurement."""
        cost.forget_oldest()
        if cost is self._finish_cost and self._batch_size > 1 and cost.num_deferred >= PATIENCE:
            self._batch_size //= 2
            self._lesson, self._finish_cost = None, Cost()


def loss_settings(config: PracticeConfig, acting: ActingConfig) -> LossSettings:
    """The weights of the loss of a window, from the configuration."""
    return LossSettings(
        prediction=config.prediction_weight,
        halt=config.halt_weight,
        action=acting.action_weight,
        value=acting.value_weight,
        discount=acting.discount,
        trace=acting.trace,
        temperature=acting.temperature,
        limit=acting.max_weight,
        reward_scale=acting.reward_scale,
        entropy=acting.entropy_weight,
    )


class Cost:
    """The recent cost of a slice, in ns."""

    def __init__(self) -> None:
        self._recent_ns: deque[int] = deque(maxlen=NUM_COSTS)
        self.num_deferred = 0

    def fits(self, remaining_ns: int) -> bool:
        """Whether the 99th percentile fits; True before the first measurement."""
        return not self._recent_ns or float(np.quantile(self._recent_ns, 0.99)) <= remaining_ns

    def note(self, cost_ns: int) -> None:
        self._recent_ns.append(cost_ns)
        self.num_deferred = 0

    def forget_oldest(self) -> None:
        self.num_deferred += 1
        self._recent_ns.popleft()
