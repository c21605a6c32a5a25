"""The latest ticks of a loop in preallocated arrays: what the figures of a window are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ticks:
    """T ticks at equal distances, oldest first.

    states: (T, N, D) of the sources.  present: (T, N).  nis: (T, N) per degree of freedom, NaN where no
    reading was judged.  error, persistence: (T,) sums of squared errors of the prediction and of "nothing
    changes".
    trust: (N,) at the end.  dims: (N,) degrees of freedom of each source's NIS.
    high, low: (T, D) means over tokens of z_H and z_L.  rate_hz: of these, a second.  every_ticks: of
    the loop's ticks, of which one is here.
    """

    tick: int
    time_ns: int
    rate_hz: float
    states: np.ndarray
    present: np.ndarray
    nis: np.ndarray
    error: np.ndarray
    persistence: np.ndarray
    trust: np.ndarray
    dims: np.ndarray
    high: np.ndarray
    low: np.ndarray
    every_ticks: int = 1


class TickWindow:
    """`num_ticks` ticks of N sources with dims (N,) as in Ticks, and D features, one in every_ticks.

    `add` copies; it allocates nothing and waits for no device.
    """

    def __init__(
        self,
        num_ticks: int,
        dims: np.ndarray,
        num_features: int,
        device: torch.device,
        every_ticks: int = 1,
    ) -> None:
        num_sources = len(dims)
        self._every_ticks = every_ticks
        self._dims = dims.astype(np.int64)
        self._states = np.zeros((num_ticks, num_sources, num_features), dtype=np.float32)
        self._present = np.zeros((num_ticks, num_sources), dtype=bool)
        self._nis = np.full((num_ticks, num_sources), np.nan)
        self._errors = np.zeros((num_ticks, 2))
        self._times = np.zeros(num_ticks, dtype=np.int64)
        self._levels = torch.zeros(num_ticks, 2, num_features, device=device)
        #: The same memory on a CPU, where numpy's mean of a few rows costs a fifth of torch's.
        self._levels_here = self._levels.numpy() if device.type == "cpu" else None
        self._num = 0

    @property
    def is_full(self) -> bool:
        return self._num == len(self._times)

    def add(
        self,
        *,
        time_ns: int,
        states: np.ndarray,
        present: np.ndarray,
        nis: np.ndarray,
        error: float,
        persistence: float,
        high: torch.Tensor,
        low: torch.Tensor,
    ) -> None:
        """One tick, as in `Ticks`.  high, low: (tokens, D). IndexError when full."""
        row = self._num
        self._times[row] = time_ns
        self._states[row] = states
        self._present[row] = present
        self._nis[row] = nis
        self._errors[row] = error, persistence
        if self._levels_here is not None and high.dtype == low.dtype == torch.float32:
            high.detach().numpy().mean(axis=0, out=self._levels_here[row, 0])
            low.detach().numpy().mean(axis=0, out=self._levels_here[row, 1])
        else:
            torch.mean(high, dim=0, out=self._levels[row, 0])
            torch.mean(low, dim=0, out=self._levels[row, 1])
        self._num += 1

    def take(self, tick: int, trust: np.ndarray) -> Ticks:
        """A copy of what was added, and an empty window."""
        num, self._num = self._num, 0
        levels = self._levels[:num].cpu().numpy().astype(np.float64)
        span_secs = (self._times[num - 1] - self._times[0]) / 1e9 if num > 1 else 0.0
        return Ticks(
            tick=tick,
            time_ns=int(self._times[num - 1]) if num else 0,
            rate_hz=float((num - 1) / span_secs) if span_secs > 0 else 1.0,
            states=self._states[:num].astype(np.float64),
            present=self._present[:num].copy(),
            nis=self._nis[:num].copy(),
            error=self._errors[:num, 0].copy(),
            persistence=self._errors[:num, 1].copy(),
            trust=trust.copy(),
            dims=self._dims,
            high=levels[:, 0],
            low=levels[:, 1],
            every_ticks=self._every_ticks,
        )
