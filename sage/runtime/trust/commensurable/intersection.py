"""Covariance intersection: estimates whose common errors are not known (Julier and Uhlmann 1997)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sage.errors import InputError


def covariance_intersection(
    means: np.ndarray, covs: np.ndarray, weights: Sequence[float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The estimate from `means` (K, D) and `covs` (K, D, D), consistent whatever they share.

    weights: of each estimate, with sum 1 (default: its share of the trace of the information, Niehsen 2002).
    For two Gaussians this is the Chernoff fusion of their densities.
    """
    means, covs = np.asarray(means, dtype=float), np.asarray(covs, dtype=float)
    if means.ndim != 2 or covs.shape != (*means.shape, means.shape[1]):
        raise InputError(f"means are {means.shape} and covs {covs.shape}: give (K, D) and (K, D, D)")
    informations = np.linalg.inv(covs)
    if weights is None:
        shares = np.trace(informations, axis1=1, axis2=2)
        shares = shares / shares.sum()
    else:
        shares = np.asarray(weights, dtype=float)
        if shares.shape != (len(means),) or (shares < 0).any() or not np.isclose(shares.sum(), 1.0):
            raise InputError(f"weights are {weights}: give {len(means)} of 0 or more with sum 1")
    cov = np.linalg.inv(np.einsum("k,kij->ij", shares, informations))
    mean = cov.dot(np.einsum("k,kij,kj->i", shares, informations, means))
    return mean, cov
