"""Samples of known models, and each estimator's true value on them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sage.runtime.coherence import calibration, dimension, information, similarity, sources, synchrony
from sage.runtime.coherence.timescales import autocorrelation_time

Draw = Callable[[np.random.Generator], float]


def autoregression(generator: np.random.Generator, num: int, columns: int, phi: float = 0.9) -> np.ndarray:
    """(num, columns) independent AR(1) signals of unit variance."""
    noise = generator.standard_normal((num + 100, columns)) * math.sqrt(1 - phi**2)
    values = np.zeros_like(noise)
    for row in range(1, len(noise)):
        values[row] = phi * values[row - 1] + noise[row]
    return values[100:]


def equicorrelated(generator: np.random.Generator) -> np.ndarray:
    root = np.linalg.cholesky(np.full((4, 4), 0.9) + 0.1 * np.eye(4))
    return generator.standard_normal((2000, 4)).dot(root.T)


def summed(generator: np.random.Generator) -> np.ndarray:
    parts = generator.standard_normal((2000, 3))
    return np.column_stack([parts, parts.sum(axis=1) + 0.5 * generator.standard_normal(2000)])


def answers(generator: np.random.Generator, shift: float) -> tuple[np.ndarray, np.ndarray]:
    probability = generator.uniform(0.5, 0.9, 200)
    return probability + shift, (generator.random(200) < probability).astype(float)


def nis_of_sensors(generator: np.random.Generator, num: int, bias: float = 0.0) -> np.ndarray:
    """(num, 5) NIS of equal sensors, each against the mean of the others; the first one is biased."""
    readings = generator.standard_normal((num, 5))
    readings[:, 0] += bias
    others = (readings.sum(axis=1, keepdims=True) - readings) / 4
    nis: np.ndarray = (readings - others) ** 2 / 1.25
    return nis


def truths() -> tuple[tuple[str, float, Draw, Draw | None], ...]:
    """name, truth, the estimator on a fresh sample, the naive one on a fresh sample of the same size."""
    scale = np.repeat([3.0, 1.0], [4, 60])
    ratio = float((scale**2).sum() ** 2 / (scale**4).sum())
    return (
        (
            "dim.pr, isotropic, d 512, n 100",
            512.0,
            lambda g: dimension.participation_ratio(g.standard_normal((100, 512))),
            lambda g: dimension.naive_participation_ratio(g.standard_normal((100, 512))),
        ),
        (
            "dim.pr, 4 strong of 64, n 100",
            ratio,
            lambda g: dimension.participation_ratio(g.standard_normal((100, 64)) * scale),
            lambda g: dimension.naive_participation_ratio(g.standard_normal((100, 64)) * scale),
        ),
        (
            "rep.cka, independent, p 256, n 50",
            0.0,
            lambda g: similarity.debiased_cka(g.standard_normal((50, 256)), g.standard_normal((50, 256))),
            lambda g: similarity.biased_cka(g.standard_normal((50, 256)), g.standard_normal((50, 256))),
        ),
        (
            "info.tc, equicorrelated 0.9, n 2000",
            2.7997,
            lambda g: information.total_correlation(equicorrelated(g)),
            None,
        ),
        (
            "info.o, equicorrelated 0.9, n 2000",
            1.5517,
            lambda g: information.o_information(equicorrelated(g)),
            None,
        ),
        (
            "info.tc, X4 = sum + 0.5 e, n 2000",
            1.2825,
            lambda g: information.total_correlation(summed(g)),
            None,
        ),
        (
            "info.o, X4 = sum + 0.5 e, n 2000",
            -1.1317,
            lambda g: information.o_information(summed(g)),
            None,
        ),
        (
            "info.tc, independent, n 60",
            0.0,
            lambda g: information.total_correlation(g.standard_normal((60, 4))),
            None,
        ),
        (
            "sync.r2u, independent phases",
            0.0,
            lambda g: synchrony.order_squared(g.uniform(0, 2 * np.pi, (50, 6))),
            lambda g: float((np.abs(np.exp(1j * g.uniform(0, 2 * np.pi, (50, 6))).mean(axis=1)) ** 2).mean()),
        ),
        (
            "sync.ppc, independent phases",
            0.0,
            lambda g: synchrony.pairwise_consistency(g.uniform(0, 2 * np.pi, (50, 6))),
            None,
        ),
        ("pred.xerr, honest sensors", 1.0, lambda g: sources.cross_error(nis_of_sensors(g, 50)), None),
        (
            "cal.ece squared, calibrated, n 200",
            0.0,
            lambda g: calibration.squared_calibration_error(*answers(g, 0.0)),
            lambda g: calibration.naive_calibration_error(*answers(g, 0.0)) ** 2,
        ),
        (
            "cal.ece squared, 0.1 too sure, n 200",
            0.01,
            lambda g: calibration.squared_calibration_error(*answers(g, 0.1)),
            lambda g: calibration.naive_calibration_error(*answers(g, 0.1)) ** 2,
        ),
        (
            "temporal.ac, AR(1) phi 0.9, n 2000",
            -1 / math.log(0.9),
            lambda g: autocorrelation_time(autoregression(g, 2000, 1)[:, 0]),
            None,
        ),
    )  # fmt: skip
