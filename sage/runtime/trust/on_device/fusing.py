"""One update of robust fusion in torch, of K beliefs at once: the formulas of `commensurable/steps.py`.

No value is read by the host, no branch depends on one, and all shapes are fixed, so that a CUDA graph can
record it. Readings are in units of their claimed noise. M numbers a source, N sources, D numbers of state.
Invariant: the same results as `commensurable.steps` to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sage.runtime.trust.commensurable.belief import UNLIMITED, gates, rule_numbers
from sage.runtime.trust.commensurable.rules import FusionRules, Sources
from sage.runtime.trust.commensurable.steps import (
    ANCHOR_FORGETTING,
    MAX_LOG_ODDS,
    MEDIAN_VARIANCE,
    MIN_ANCHORED,
    MIN_LIKELIHOOD,
    NUM_ROUNDS,
)

if TYPE_CHECKING:
    from typing_extensions import Self

#: Limits that keep powers and quotients finite: of float64 those of `commensurable.steps`.
UNLIMITED_32, MAX_LOG_ODDS_32, MIN_LIKELIHOOD_32 = 1e30, 80.0, 1e-37


class Beliefs(NamedTuple):
    """K hypotheses. state: (K, D).  cov: (K, D, D).  evidence: (K, 4, N) alpha, beta, a, b.  floor: (K, N).
    drift: (K, M, N) running differences from the median.  judged: (K, 4, N) as in `commensurable.belief`.
    """

    state: Tensor
    cov: Tensor
    evidence: Tensor
    floor: Tensor
    drift: Tensor
    judged: Tensor

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """All hypotheses of `parts`, in their order."""
        return cls(*(torch.cat(each) for each in zip(*parts, strict=True)))

    def split(self, num: int) -> list[Self]:
        """Parts of `num` hypotheses each."""
        return [type(self)(*each) for each in zip(*(tensor.split(num) for tensor in self), strict=True)]

    def where(self, is_kept: Tensor, others: Self) -> Self:
        """These hypotheses where `is_kept` (K,), and `others` elsewhere."""
        return type(self)(
            *(
                torch.where(is_kept.reshape(-1, *[1] * (own.dim() - 1)), own, other)
                for own, other in zip(self, others, strict=True)
            )
        )


class Constants:
    """What `fuse` and `anchor` need of the sources and rules, as tensors on one device."""

    def __init__(
        self, sources: Sources, rules: FusionRules, device: torch.device, dtype: torch.dtype
    ) -> None:
        is_double = dtype == torch.float64
        numbers = rule_numbers(rules).clip(max=UNLIMITED if is_double else UNLIMITED_32)
        self.forgetting, self.outlier_ratio, self.gate = (float(numbers[index]) for index in (0, 4, 5))
        self.max_log_odds = MAX_LOG_ODDS if is_double else MAX_LOG_ODDS_32
        self.min_likelihood = MIN_LIKELIHOOD if is_double else MIN_LIKELIHOOD_32

        def tensor(array: np.ndarray) -> Tensor:
            return torch.tensor(array, dtype=dtype, device=device)

        def flags(array: np.ndarray) -> Tensor:
            return torch.tensor(array, dtype=torch.bool, device=device)

        self.num, self.num_rows, self.num_states = sources.num, sources.num_rows, sources.num_states
        self.prior = tensor(numbers[[1, 2, 3, 3]])[:, None]  # (4, 1)
        self.quantile = tensor(gates(sources.dims))
        self.pad = tensor(sources.num_rows - sources.dims)
        self.is_row = flags(sources.is_row)  # (M, N)
        self.matrix = tensor(sources.matrix)
        self.rows = tensor(sources.rows)
        self.variance = tensor(sources.variance)
        self.whitener = tensor(sources.whitener)
        self.kin = [flags(sources.kin == group) for group in range(sources.num_kin)]
        members = [sources.quantity == each for each in np.unique(sources.quantity)]
        self.anchored = [flags(each) for each in members if rules.is_anchored and each.sum() >= MIN_ANCHORED]
        self.limit = float(rules.anchor_limit)
        lineages = np.arange(int(sources.lineage.max()) + 1)
        self.lineage = tensor(sources.lineage[:, None] == lineages)  # (N, L) 0 or 1


def fuse(belief: Beliefs, residual: Tensor, rows: Tensor, present: Tensor, constants: Constants) -> Beliefs:
    """The beliefs after one set of readings.

    residual: (K, M, N) whitened reading minus prediction, 0 where absent.  rows: (K or 1, M, N, D), whitened.
    present: (K, N) bool.
    """
    flat, flat_residual = rows.flatten(1, 2), residual.flatten(1)
    alpha, beta, scale_a, scale_b = belief.evidence.unbind(1)
    share = alpha / (alpha + beta)
    scale = torch.maximum((scale_b / scale_a).clamp(min=1.0), belief.floor)
    likelihood, is_rejected = _judge_prior(residual, rows, belief.cov, share, scale, constants)
    prior = inverse(belief.cov)
    rho = share
    for _ in range(NUM_ROUNDS):
        weight, used = _weights(torch.where(present, rho / scale, 0.0), rows, constants)
        posterior = inverse(prior + _information(flat, used))
        moved = _moved(posterior, flat, used * flat_residual)
        own, spread = _leave_one_out(residual, rows, posterior, moved, weight)
        if constants.kin:
            own, spread = _leave_kin_out(own, spread, residual, rows, prior, used, constants)
        square, log_in, log_out = _likelihoods(own, spread, scale, constants)
        if constants.gate > 0:
            rho = (square <= constants.gate).to(square.dtype)
        else:
            odds = (log_out - log_in).clamp(-constants.max_log_odds, constants.max_log_odds)
            rho = share / (share + (1.0 - share) * odds.exp())
    weight, used = _weights(torch.where(present, rho / scale, 0.0), rows, constants)
    cov = inverse(prior + _information(flat, used))
    cov = (cov + cov.mT) / 2
    state = belief.state + _moved(cov, flat, used * flat_residual)
    before = belief.judged.unbind(1)
    judged = torch.stack(
        [
            torch.where(present, rho, before[0]),
            torch.where(present, square, before[1]),
            torch.where(present, likelihood, 0.0),
            torch.where(present, is_rejected.to(rho.dtype), before[3]),
        ],
        dim=1,
    )
    learned = _learned(belief.evidence, own, spread, rho, constants)
    evidence = torch.where(present[:, None], learned, belief.evidence)
    return belief._replace(state=state, cov=cov, evidence=evidence, judged=judged)


def anchor(
    belief: Beliefs, residual: Tensor, variance: Tensor, present: Tensor, constants: Constants
) -> Beliefs:
    """Least scales from the lasting differences from the median of each quantity.

    residual: (K, M, N) in the quantity's units.  variance: (K or 1, N).
    """
    rate, drift, floor = 1.0 - ANCHOR_FORGETTING, belief.drift, belief.floor
    largest = (constants.limit * variance.sqrt())[:, None]
    for is_member in constants.anchored:
        chosen = present & is_member
        count = chosen.sum(dim=1, keepdim=True)
        chosen = chosen & (count >= MIN_ANCHORED)
        difference = residual - _medians(residual, present & is_member, count)
        difference = torch.minimum(torch.maximum(difference, -largest), largest)
        drift = torch.where(chosen[:, None], drift + rate * (difference - drift), drift)
        total = torch.where(chosen, 1.0 / variance, 0.0).sum(dim=1, keepdim=True)
        expected = 2.0 * (variance + MEDIAN_VARIANCE / total) * rate / (1.0 + ANCHOR_FORGETTING)
        biased = ((drift**2).sum(dim=1) / constants.num_rows - expected).clamp(min=0.0)
        floor = torch.where(chosen, 1.0 + 2.0 * biased / variance, floor)
    return belief._replace(drift=drift, floor=floor)


def inverse(matrix: Tensor) -> Tensor:
    """(K, D, D) of positive definite matrices: Gauss and Jordan's elimination, which needs no pivoting there.

    A library's inverse reads a status on the host; this one does not, and its size is small.
    """
    rest = matrix.permute(1, 2, 0).contiguous()  # the long dimension last
    for pivot in range(len(rest)):
        factor = 1.0 / rest[pivot, pivot]
        row, column = rest[pivot] * factor, rest[:, pivot]
        left = rest - column[:, None] * row[None, :]
        left[pivot] = row
        left[:, pivot] = -column * factor
        left[pivot, pivot] = factor
        rest = left
    return rest.permute(2, 0, 1)


def _medians(values: Tensor, chosen: Tensor, count: Tensor) -> Tensor:
    """(K, M, 1) of the chosen (K, N) of `values` (K, M, N); `count` (K, 1) of them."""
    rising = torch.where(chosen[:, None], values, torch.inf).sort(dim=2).values
    low, high = ((count - 1) // 2).clamp(min=0), (count // 2).clamp(max=values.shape[2] - 1)
    shape = (-1, values.shape[1], 1)
    found = (rising.gather(2, index[:, None].expand(shape)) for index in (low, high))
    return torch.stack(list(found)).mean(dim=0)


def _information(flat: Tensor, used: Tensor) -> Tensor:
    """(K, D, D) sum of the outer products of the rows (K or 1, MN, D), weighted by `used` (K, MN)."""
    return (flat * used[:, :, None]).mT.matmul(flat)


def _moved(cov: Tensor, flat: Tensor, weighted: Tensor) -> Tensor:
    """(K, D) change of the state by weighted residuals (K, MN)."""
    return cov.matmul(flat.mT.matmul(weighted[:, :, None])).squeeze(2)


def _weights(weight: Tensor, rows: Tensor, constants: Constants) -> tuple[Tensor, Tensor]:
    """(K, N) precision of each source in units of its claim, and (K, MN) the same for each number; those of
    one lineage share theirs (covariance intersection).
    """
    if constants.kin:
        information = weight * (rows**2).sum(dim=3).sum(dim=1)
        for is_kin in constants.kin:
            total = torch.where(is_kin, information, 0.0).sum(dim=1, keepdim=True)
            weight = torch.where(is_kin & (total > 0), weight * information / total, weight)
    return weight, weight[:, None].expand(-1, rows.shape[1], -1).flatten(1)


def _spread(rows: Tensor, cov: Tensor) -> list[list[Tensor]]:
    """[M][M] (K, N) H cov H' of each source."""
    num_rows, num = rows.shape[1:3]
    projected = rows.flatten(1, 2).matmul(cov).unflatten(1, (num_rows, num))
    found = [[projected] * num_rows for _ in range(num_rows)]
    for row in range(num_rows):
        for column in range(row + 1):
            found[row][column] = (projected[:, row] * rows[:, column]).sum(dim=2)
            found[column][row] = found[row][column]
    return found


def _eliminate(system: list[list[Tensor]], known: list[list[Tensor]]) -> None:
    """Gaussian elimination below the diagonal of positive definite systems [M][M] (K, N), in place."""
    num_rows = len(system)
    for pivot in range(num_rows):
        for row in range(pivot + 1, num_rows):
            factor = system[row][pivot] / system[pivot][pivot]
            for column in range(pivot + 1, num_rows):
                system[row][column] = system[row][column] - factor * system[pivot][column]
            known[row] = [own - factor * above for own, above in zip(known[row], known[pivot], strict=True)]


def _leave_one_out(
    residual: Tensor, rows: Tensor, posterior: Tensor, moved: Tensor, weight: Tensor
) -> tuple[Tensor, list[list[Tensor]]]:
    """(K, M, N) innovation of each source from the prior and the others, and its covariance [M][M] (K, N)
    without the source's own noise.
    """
    num_rows = rows.shape[1]
    own, spread = _innovation(residual, rows, moved), _spread(rows, posterior)
    system = [
        [float(row == column) - weight * spread[row][column] for column in range(num_rows)]
        for row in range(num_rows)
    ]
    known = [[own[:, row], *spread[row]] for row in range(num_rows)]
    _eliminate(system, known)
    for row in range(num_rows - 1, -1, -1):
        for column in range(row + 1, num_rows):
            known[row] = [
                above - system[row][column] * below
                for above, below in zip(known[row], known[column], strict=True)
            ]
        known[row] = [each / system[row][row] for each in known[row]]
    return torch.stack([each[0] for each in known], dim=1), [each[1:] for each in known]


def _leave_kin_out(
    own: Tensor,
    spread: list[list[Tensor]],
    residual: Tensor,
    rows: Tensor,
    prior: Tensor,
    used: Tensor,
    constants: Constants,
) -> tuple[Tensor, list[list[Tensor]]]:
    """The same for sources of one lineage, from those outside it: kin do not confirm each other."""
    flat, flat_residual = rows.flatten(1, 2), residual.flatten(1)
    num_rows = rows.shape[1]
    for is_kin in constants.kin:
        others = torch.where(is_kin.repeat(num_rows), 0.0, used)
        posterior = inverse(prior + _information(flat, others))
        moved = _moved(posterior, flat, others * flat_residual)
        own = torch.where(is_kin, _innovation(residual, rows, moved), own)
        found = _spread(rows, posterior)
        spread = [
            [torch.where(is_kin, found[row][column], spread[row][column]) for column in range(num_rows)]
            for row in range(num_rows)
        ]
    return own, spread


def _innovation(residual: Tensor, rows: Tensor, moved: Tensor) -> Tensor:
    """(K, M, N) residuals after a change (K, D) of the state."""
    explained = rows.flatten(1, 2).matmul(moved[:, :, None]).squeeze(2)
    return residual - explained.reshape_as(residual)


def _likelihoods(
    own: Tensor, spread: list[list[Tensor]], scale: Tensor, constants: Constants
) -> tuple[Tensor, Tensor, Tensor]:
    """(K, N) normalised square of `own` (K, M, N) and its Gaussian log density with covariance spread +
    scale, and the log density with spread + outlier ratio; up to 2 pi.
    """
    wide = torch.full_like(scale, constants.outlier_ratio)
    square, log_in = _gaussian(own, spread, scale)
    _, log_out = _gaussian(own, spread, wide)
    log_in, log_out = log_in - constants.pad * scale.log(), log_out - constants.pad * wide.log()
    return square, -0.5 * log_in, -0.5 * log_out


def _gaussian(own: Tensor, spread: list[list[Tensor]], variance: Tensor) -> tuple[Tensor, Tensor]:
    """(K, N) normalised square of `own` with covariance spread + variance, and that plus log determinant."""
    num_rows = len(spread)
    system = [
        [
            spread[row][column] + variance if row == column else spread[row][column]
            for column in range(num_rows)
        ]
        for row in range(num_rows)
    ]
    known = [[own[:, row]] for row in range(num_rows)]
    _eliminate(system, known)
    parts = [known[row][0] ** 2 / system[row][row] for row in range(num_rows)]
    square, determinant = parts[0], system[0][0]
    for row in range(1, num_rows):
        square, determinant = square + parts[row], determinant * system[row][row]
    return square, square + determinant.log()


def _judge_prior(
    residual: Tensor, rows: Tensor, cov: Tensor, share: Tensor, scale: Tensor, constants: Constants
) -> tuple[Tensor, Tensor]:
    """(K, N) log likelihood of each reading under the prior, and whether it is beyond the 99% quantile."""
    square, log_in, log_out = _likelihoods(residual, _spread(rows, cov), scale, constants)
    top = torch.maximum(log_in, log_out)
    mixed = share * (log_in - top).exp() + (1.0 - share) * (log_out - top).exp()
    return mixed.clamp(min=constants.min_likelihood).log() + top, square > constants.quantile


def _learned(
    evidence: Tensor, own: Tensor, spread: list[list[Tensor]], rho: Tensor, constants: Constants
) -> Tensor:
    """(K, 4, N) Beta on outliers and inverse gamma on scale, with forgetting towards the priors."""
    excess = (own**2).sum(dim=1)
    for row in range(len(spread)):
        excess = excess - spread[row][row]
    half = rho * (constants.num_rows - constants.pad) / 2.0
    gained = torch.stack([rho, 1.0 - rho, half, rho / 2.0 * excess.clamp(min=0.0)], dim=1)
    keep = constants.forgetting
    return keep * evidence + (1.0 - keep) * constants.prior + gained
