"""The constants of robust fusion, and the sources that are fused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sage.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionRules:
    """Constants of COGNITION.md, Trust and fusion.

    prior_inlier, prior_outlier: Beta prior on "this reading is an inlier"; an infinite prior_inlier trusts
    every reading.  prior_scale: inverse gamma prior (a = b) on how much larger the noise is than it claims;
    an infinite one trusts the claim.  forgetting: of the evidence towards the priors, per reading.
    outlier_ratio: variance of an outlier over that of an inlier.  gate: None, or the normalised innovation
    squared above which a reading is dropped (hard rejection in place of the outlier model).
    is_anchored: bound the scale from below by the lasting difference from the median of sources of the same
    quantity, where at least 4 are present.  anchor_limit: largest difference that counts in it, in claimed
    standard deviations; without a limit a single reading that is far off counts for long.
    is_prior_judged: whether agreeing sources may reject the prior.  window: updates in which they must do so.
    evidence_ratio: log likelihood ratio that they need.
    """

    prior_inlier: float = 9.0
    prior_outlier: float = 1.0
    prior_scale: float = 10.0
    forgetting: float = 0.97
    outlier_ratio: float = 400.0
    gate: float | None = None
    is_anchored: bool = True
    anchor_limit: float = math.inf
    is_prior_judged: bool = True
    window: int = 48
    evidence_ratio: float = 60.0

    def __post_init__(self) -> None:
        for name in ("prior_inlier", "prior_outlier", "prior_scale", "outlier_ratio", "anchor_limit"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}: give a number above 0")
        if not 0 < self.forgetting < 1:
            raise InputError(f"forgetting is {self.forgetting}: give a number between 0 and 1")
        if self.window < 1:
            raise InputError(f"window is {self.window}: give 1 or more")


class Sources:
    """N sources of at most M numbers each, of a state of D numbers.

    matrix: (N, M, D), a reading is matrix @ state + noise.  noise: (N, M, M) its covariance as the source
    claims it.  dims: numbers of each source (default: M); rows beyond are ignored.  lineage: one name for
    each source; sources of one lineage (for example a camera and a memory of its images) share their errors,
    and are fused by covariance intersection. None: all are independent.  quantity: one name for each source;
    sources of one quantity measure the same thing with the same matrix. None: equal matrices, equal quantity.
    """

    def __init__(
        self,
        matrix: np.ndarray,
        noise: np.ndarray,
        *,
        dims: Sequence[int] | None = None,
        lineage: Sequence[str] | None = None,
        quantity: Sequence[str] | None = None,
    ) -> None:
        matrix, noise = np.array(matrix, dtype=float), np.array(noise, dtype=float)
        if matrix.ndim != 3 or noise.shape != (*matrix.shape[:2], matrix.shape[1]):
            raise InputError(
                f"matrix is {matrix.shape} and noise {noise.shape}: give (N, M, D) and (N, M, M)"
            )
        self.num, self.num_rows, self.num_states = matrix.shape
        self.dims = np.full(self.num, self.num_rows) if dims is None else np.asarray(dims, dtype=int)
        for name, given in (("dims", self.dims), ("lineage", lineage), ("quantity", quantity)):
            if given is not None and len(given) != self.num:
                raise InputError(f"{name} has {len(given)} entries: give one for each of {self.num} sources")
        if self.dims.min(initial=1) < 1 or self.dims.max(initial=1) > self.num_rows:
            raise InputError(f"dims are {self.dims.tolist()}: give 1 to {self.num_rows} for each source")
        self.is_row = np.arange(self.num_rows)[:, None] < self.dims  # (M, N)
        self.matrix = matrix * self.is_row.T[:, :, None]
        self.variance = np.einsum("nmm,mn->n", noise, self.is_row) / self.dims
        self.whitener = self._whitener(noise)
        self.rows = self.whitened(self.matrix)
        names = list(map(str, range(self.num))) if lineage is None else list(lineage)
        self.lineage = np.unique(names, return_inverse=True)[1].ravel()
        counts = np.bincount(self.lineage)
        shared = np.flatnonzero(counts > 1)
        self.kin = np.full(self.num, -1)  # index of a lineage with several sources, else -1
        for index, group in enumerate(shared):
            self.kin[self.lineage == group] = index
        self.num_kin = len(shared)
        names = [each.tobytes().hex() for each in self.matrix] if quantity is None else list(quantity)
        self.quantity = np.unique(names, return_inverse=True)[1].ravel()

    def _whitener(self, noise: np.ndarray) -> np.ndarray:
        """(N, M, M) inverse Cholesky factors, identity in the rows that are ignored."""
        whitener = np.zeros_like(noise)
        for source, dims in enumerate(self.dims):
            try:
                factor = np.linalg.cholesky(noise[source, :dims, :dims])
            except np.linalg.LinAlgError as error:
                raise InputError(
                    f"noise of source {source} is not positive definite: give a covariance"
                ) from error
            whitener[source, :dims, :dims] = np.linalg.inv(factor)
        return whitener

    def whitened(self, matrix: np.ndarray) -> np.ndarray:
        """(M, N, D) rows of `matrix` (N, M, D) in units of the claimed noise."""
        return np.ascontiguousarray(np.einsum("nij,njd->ind", self.whitener, matrix))
