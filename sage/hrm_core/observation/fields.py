"""The eight fields of a tick, defined once for every form in which a tick exists.

A tick is a percept (numpy), a frame and a row of L-memory, an observation (tensors of B rows), and a part of
a window (tensors of B rows by T + 1 ticks). Invariant: every form has these fields, in this order. C channels
of N sources.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Generic, TypeVar

A = TypeVar("A")


@dataclass(frozen=True, slots=True, kw_only=True)
class TickFields(Generic[A]):
    """Arrays of one kind, e.g. torch.Tensor; values, deltas, skip and cross are standardised.

    values: (..., C) last readings, 0 where never seen.
    deltas: (..., C) last reading minus the one before.
    skip: (..., C) the change that the linear skip predicts; the model corrects it.
    cross: (..., C) a linear estimate of each source's reading from the other sources, 0 where there is none.
    present: (..., N) bool, the source has a usable reading and is not masked.
    fresh: (..., N) bool, the reading is new this tick.
    age_secs: (..., N) age of the reading.
    weight: (..., N) trust, 0..1, 1 for the most trusted source.
    """

    values: A
    deltas: A
    skip: A
    cross: A
    present: A
    fresh: A
    age_secs: A
    weight: A

    def by_name(self) -> dict[str, A]:
        """The eight arrays, in order."""
        return {name: getattr(self, name) for name in TICK_FIELDS}


TICK_FIELDS = tuple(field.name for field in dataclasses.fields(TickFields))
CHANNEL_FIELDS = TICK_FIELDS[:4]  # a number a channel
SOURCE_FIELDS = TICK_FIELDS[4:]  # a number a source
BOOL_FIELDS = ("present", "fresh")


def field_sizes(num_channels: int, num_sources: int) -> dict[str, int]:
    """The length of each field's last axis, in order."""
    channels = dict.fromkeys(CHANNEL_FIELDS, num_channels)
    return channels | dict.fromkeys(SOURCE_FIELDS, num_sources)
