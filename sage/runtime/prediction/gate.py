"""How much of a proposed correction to use: 0 without evidence, then a share by its past gain.

The share is the regression of the residual r on the proposal h, in raw units, so that evidence has the weight
of the squared error. Three limits keep it from increasing the error:
- its confidence: the share is shrunk by 1 - z^2/t^2 (positive-part James-Stein), t its signal over its noise.
  The noise is that of residuals before the share is updated, so that one large reading gives t <= 1, not
  infinity; it is no smaller than with noise independent of the proposal.
- its reach: the current proposal is part of its own denominator (Vovk, Azoury and Warmuth), so that a
  proposal much larger than the earlier ones has a small share until recent readings confirm it.
- its worth: below a gain of `min_gain` of the error the share is 0.
Invariant: 0 <= share <= 1; 0 before `MIN_READINGS` and for a proposal of exactly 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sage.compiled import has_compiler
from sage.errors import InputError

MIN_READINGS = 16
TINY = 1e-300
STATE_NAMES = ("sums", "recent")
COUNT, PROPOSED, PAID, NOISE, MISSED, TOTAL = range(
    6
)  # rows of sums; the first two of recent are h^2 and r h

Index = np.ndarray | slice


class OnlineGate:
    """One gate for each channel. Float64.

    forgetting: of the evidence, per reading; 0.9998 is a memory of about 5,000.  recent_forgetting: of the
    recent evidence.  prior_readings: weight of the long evidence beside the recent, in usual readings.
     confidence: z above. min_gain: share of squared error below which a gain is not used.  is_compiled: None
    uses numba where it is installed.
    """

    def __init__(
        self,
        num_channels: int,
        *,
        forgetting: float = 0.9998,
        recent_forgetting: float = 0.9,
        prior_readings: float = 10.0,
        confidence: float = 2.0,
        min_gain: float = 0.01,
        is_compiled: bool | None = None,
    ) -> None:
        if num_channels < 1:
            raise InputError(f"num_channels is {num_channels}: give 1 or more")
        for name, value in (("forgetting", forgetting), ("recent_forgetting", recent_forgetting)):
            if not 0 < value < 1:
                raise InputError(f"{name} is {value}: give a number between 0 and 1")
        self._forgetting = forgetting
        self._recent_forgetting = recent_forgetting
        self._prior_readings = prior_readings
        self._z_squared = confidence**2
        self._min_gain = min_gain
        self._sums = np.zeros((6, num_channels))
        self._recent = np.zeros((2, num_channels))
        self._rules = np.array([forgetting, recent_forgetting, prior_readings, confidence**2, min_gain])
        self._channels = np.arange(num_channels)
        self._kernel: Any = (
            _kernel(num_channels) if (has_compiler() if is_compiled is None else is_compiled) else None
        )

    @property
    def values(self) -> np.ndarray:
        """(C,) the share used of a proposal of usual size."""
        if self._kernel is not None:
            return self.weigh(np.zeros(len(self._channels)))
        used: np.ndarray = self._share(slice(None), 0.0) * self._confidence(slice(None))
        return used

    def weigh(self, proposal: np.ndarray, channels: Index = slice(None)) -> np.ndarray:
        """(k,) the share used of this `proposal` (k,) for `channels`: less than `values` for a large
        proposal.
        """
        used: np.ndarray
        if self._kernel is not None:
            used = self._kernel.weigh(
                self._sums, self._recent, self._rules, self._channels[channels], _floats(proposal)
            )
        else:
            used = self._share(channels, proposal * proposal) * self._confidence(channels)
        return used

    def update(self, channels: Index, residual: np.ndarray, proposal: np.ndarray) -> None:
        """Learn from the `residual` (k,) of a reading and the `proposal` (k,) made before it."""
        if self._kernel is not None:
            own = self._channels[channels]
            self._kernel.update(
                self._sums, self._recent, self._rules, own, _floats(residual), _floats(proposal)
            )
            return
        squared = proposal * proposal
        paid = residual * proposal
        missed = residual - self._share(channels, squared) * proposal
        sums, recent = (
            self._sums[:, channels] * self._forgetting,
            self._recent[:, channels] * self._recent_forgetting,
        )
        missed *= missed
        sums[COUNT] += 1.0
        sums[PROPOSED] += squared
        sums[PAID] += paid
        sums[NOISE] += squared * missed
        sums[MISSED] += missed
        sums[TOTAL] += residual * residual
        recent[0] += squared
        recent[1] += paid
        self._sums[:, channels], self._recent[:, channels] = sums, recent

    def _share(self, channels: Index, squared: np.ndarray | float) -> np.ndarray:
        """(k,) the regression coefficient of recent evidence, with a prior of a few usual readings."""
        count, proposed, paid = self._sums[:NOISE, channels]
        recent_proposed, recent_paid = self._recent[:, channels]
        long_share = np.minimum(np.maximum(paid / np.maximum(proposed, TINY), 0.0), 1.0)
        usual = self._prior_readings * proposed / np.maximum(count, 1.0)
        share: np.ndarray = (recent_paid + usual * long_share) / np.maximum(
            recent_proposed + usual + squared, TINY
        )
        np.clip(share, 0.0, 1.0, out=share)
        return share

    def _confidence(self, channels: Index) -> np.ndarray:
        """(k,) 1 - z^2/t^2 - min_gain/R^2, not below 0."""
        count, proposed, paid, noise, missed, total = self._sums[:, channels]
        variance = np.maximum(noise, proposed * missed / np.maximum(count, 1.0))
        doubt = self._z_squared * variance + self._min_gain * proposed * total
        signal = np.where((count >= MIN_READINGS) & (paid > 0), paid * paid, 0.0)
        return np.where(signal > doubt, 1.0 - np.minimum(doubt, signal) / np.maximum(signal, TINY), 0.0)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """sums, recent, rules: the arguments of a compiled step, updated in place."""
        return self._sums, self._recent, self._rules

    def state(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, f"_{name}").copy() for name in STATE_NAMES}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        for name in STATE_NAMES:
            target = getattr(self, f"_{name}")
            if np.shape(state[name]) != target.shape:
                raise InputError(
                    f"{name} has shape {np.shape(state[name])}, this gate {target.shape}: load a state of as"
                    " many channels"
                )
            target[:] = state[name]


def _kernel(num_channels: int) -> Any:
    """The compiled module; compiled now, not in the first tick."""
    from sage.runtime.prediction import gate_kernel

    sums, recent, rules, nothing = (
        np.zeros((6, num_channels)),
        np.zeros((2, num_channels)),
        np.zeros(5),
        np.zeros(0),
    )
    none = np.zeros(0, dtype=np.intp)
    gate_kernel.weigh(sums, recent, rules, none, nothing)
    gate_kernel.update(sums, recent, rules, none, nothing, nothing)
    return gate_kernel


def _floats(values: np.ndarray) -> np.ndarray:
    """Contiguous float64, as the kernel requires."""
    return np.ascontiguousarray(values, dtype=np.float64)
