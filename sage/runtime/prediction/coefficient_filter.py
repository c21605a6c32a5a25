"""Linear prediction with drifting coefficients, for many channels at once: a Kalman filter without wind-up.

Each coefficient is an Ornstein-Uhlenbeck process around 0: without information, coefficient and covariance
return to their priors, where recursive least squares with forgetting would grow without bound. Invariant:
every covariance is exactly symmetric and never above its prior. Shapes: K drifts, P regressors, C channels,
channels last and contiguous.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError

CLIP = 4.0  # an innovation beyond four of its deviations moves the coefficients as four would (Huber)
NOISE_FORGETTING = 0.99
MIN_NOISE = 1e-4
STATE_NAMES = ("weights", "covariance", "noise")

Index = np.ndarray | slice


class CoefficientFilter:
    """K filters for each of C channels on the same regressors, one for each rate of drift.

    prior: (P,) variance of each coefficient around 0.  drifts: share of the prior that leaks back, a reading.
    """

    def __init__(self, num_channels: int, prior: np.ndarray, drifts: tuple[float, ...]) -> None:
        num_drifts, size = len(drifts), len(prior)
        self._keep = 1.0 - np.asarray(drifts)[:, None]  # (K, 1)
        self._leak = (1.0 - self._keep) * prior  # (K, P)
        self._weights = np.zeros((num_drifts, size, num_channels))
        self._covariance = np.zeros((num_drifts, size, size, num_channels))
        self._covariance[:] = np.diag(prior)[None, :, :, None]
        self._noise = np.ones((num_drifts, num_channels))
        self._scratch = np.empty_like(
            self._covariance
        )  # allocated once: its pages cost more than the product

    def predict(self, channels: Index, regressors: np.ndarray) -> np.ndarray:
        """(K, k) from regressors (P, k)."""
        predicted: np.ndarray = np.einsum("kpc,pc->kc", self._weights[..., channels], regressors)
        return predicted

    def learn(
        self, channels: Index, regressors: np.ndarray, target: np.ndarray, noise_rate: np.ndarray
    ) -> None:
        """Learn from regressors (P, k) and target (k,). noise_rate: (k,) rate of the noise level."""
        weights, covariance, noise = (
            self._weights[..., channels],
            self._covariance[..., channels],
            self._noise[:, channels],
        )
        innovation = target - np.einsum("kpc,pc->kc", weights, regressors)  # (K, k)
        spread = np.einsum("kpqc,qc->kpc", covariance, regressors)  # (K, P, k)
        variance = noise + np.maximum(np.einsum("kpc,pc->kc", spread, regressors), 0.0)
        bound = CLIP * np.sqrt(variance)
        clipped = np.minimum(np.maximum(innovation, -bound), bound)
        weights += spread * (clipped / variance)[:, None]
        weights *= np.sqrt(self._keep)[..., None]
        spread /= np.sqrt(variance)[:, None]
        product = self._scratch[..., : spread.shape[-1]]
        np.multiply(
            spread[:, :, None], spread[:, None, :], out=product
        )  # v v': commutes to the bit, so symmetry is exact
        covariance -= product
        covariance *= self._keep[..., None, None]
        np.einsum("kppc->kpc", covariance)[...] += self._leak[..., None]
        energy = np.minimum(innovation * innovation, 4.0 * CLIP**2 * noise)
        noise += (energy - noise) * np.maximum(noise_rate, 1.0 - NOISE_FORGETTING)
        np.maximum(noise, MIN_NOISE, out=noise)
        if not isinstance(channels, slice):  # a slice was updated in place
            self._weights[..., channels], self._covariance[..., channels], self._noise[:, channels] = (
                weights,
                covariance,
                noise,
            )

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """weights, covariance, noise, keep, leak: the arguments of a compiled step, updated in place."""
        return self._weights, self._covariance, self._noise, self._keep, self._leak

    def state(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, f"_{name}").copy() for name in STATE_NAMES}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        for name in STATE_NAMES:
            target = getattr(self, f"_{name}")
            if np.shape(state[name]) != target.shape:
                raise InputError(
                    f"{name} has shape {np.shape(state[name])}, this filter {target.shape}: load a state of"
                    " the same size"
                )
            target[:] = state[name]
