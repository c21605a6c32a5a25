"""A window of consecutive ticks, and how it is unrolled: burn-in, source dropout, ticks laid out as rows.

Invariant: the carry is detached between segments, so once an unroll without a graph has found where each
segment starts, all segments can be differentiated as rows of one batch: the gradient of going tick by tick,
at a fraction of the calls.
Shapes: B windows, T ticks (T + 1 with the last target), C channels, N sources, A actions, W worlds, S tokens,
D hidden.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.model.recurrence import Carry
from sage.hrm_core.observation.fields import TickFields
from sage.hrm_core.observation.model import Observation, ObservationModel

#: How an episode of a world ended, as `sage.sensors.environment` has it: of its own, or cut off.
ENDED, CUT_OFF = 1.0, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationWindow(TickFields[Tensor]):
    """T + 1 ticks of B rows, fields (B, T + 1, C) and (B, T + 1, N), and the carry before the first tick.

    action: as done at a tick, in -1..1, NaN where there was none.  reward: with a tick's readings, for the
    action of the tick before; NaN where there is none.  reset: ENDED or CUT_OFF where the world started again
    since the tick before, else 0; None: nowhere in these windows. A window's first tick counts as a start.
    Of a model with several worlds both have an axis of worlds behind that of ticks.
    """

    action: Tensor  # (B, T + 1, A)
    reward: Tensor  # (B, T + 1) or (B, T + 1, W)
    z_H: Tensor  # (B, S, D)
    z_L: Tensor  # (B, S, D)
    reset: Tensor | None = None  # as reward

    def starts_again(self, tick: int) -> Tensor | None:
        """(B, W) bool, the worlds that started again with this tick; None without any."""
        if self.reset is None or tick == 0:
            return None
        return by_world(self.reset)[:, tick] > 0

    @property
    def num_ticks(self) -> int:
        """T: ticks with a target."""
        return self.values.shape[1] - 1

    def only(self, rows: slice) -> ObservationWindow:
        """Some of the windows, sharing memory."""
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(ObservationWindow)}
        some: dict[str, Any] = {name: x if x is None else x[rows] for name, x in parts.items()}
        return ObservationWindow(**some)

    def rows(self, first: int, last: int, present: Tensor) -> Observation:
        """Ticks first..last-1 as rows, tick by tick; `present` (B, T + 1, N) in place of the window's own."""
        ticks = self.by_name() | {"present": present}
        rows = {name: by_tick(field, first, last).flatten(0, 1) for name, field in ticks.items()}
        return Observation(**rows)


def by_tick(x: Tensor, first: int, last: int) -> Tensor:
    """(B, T + 1, ...) -> (last - first, B, ...)."""
    return x[:, first:last].transpose(0, 1)


def by_world(x: Tensor) -> Tensor:
    """(B, T + 1) or (B, T + 1, W) -> (B, T + 1, W)."""
    return x.unsqueeze(-1) if x.dim() == 2 else x


def merge_carries(carries: Sequence[Carry]) -> Carry:
    """Carries of B rows one after the other: the order of `ObservationWindow.rows`."""
    return Carry(
        z_H=torch.cat([carry.z_H for carry in carries]), z_L=torch.cat([carry.z_L for carry in carries])
    )


@torch.no_grad()
def unroll(
    model: ObservationModel, window: ObservationWindow, present: Tensor, *, num_ticks: int, num_segments: int
) -> Iterator[Carry]:
    """The carry before each segment of the first `num_ticks` ticks, in order, and the one after the last.

    Each is computed when it is asked for, so that a loop with little time can unroll in pieces. Where a world
    starts again the next tick's carry is the initial one, of several worlds for its own sources.
    """
    carry = Carry(z_H=window.z_H, z_L=window.z_L)
    yield carry
    for tick in range(num_ticks):
        observation = window.rows(tick, tick + 1, present)
        for segment in range(num_segments):
            carry, _ = model(carry, observation)
            starts_again = window.starts_again(tick + 1) if segment == num_segments - 1 else None
            if starts_again is not None:
                carry = model.start_again(carry, starts_again)
            yield carry


def draw_hidden_sources(
    present: Tensor, probability: float, mean_ticks: float, generator: torch.Generator
) -> Tensor:
    """Which present sources to hide, (B, T + 1, N) bool: each with `probability`, in stretches of about
    `mean_ticks`.

    Drawn on the generator's device. Short stretches alone would teach the model to remember a hidden source,
    long ones alone to forget it.
    """
    if not 0 <= probability <= 1:
        raise InputError(f"mask_probability is {probability}: give a probability, 0 to 1")
    shape, device = present.shape, generator.device
    is_hidden = torch.rand(shape, generator=generator, device=device) < probability
    is_redrawn = torch.rand(shape, generator=generator, device=device) < 1.0 / mean_ticks
    for tick in range(1, shape[1]):
        is_hidden[:, tick] = torch.where(is_redrawn[:, tick], is_hidden[:, tick], is_hidden[:, tick - 1])
    return is_hidden.to(present.device) & present
