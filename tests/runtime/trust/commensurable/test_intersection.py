"""Covariance intersection by its definition."""

from __future__ import annotations

import numpy as np
import pytest

from sage.errors import InputError
from sage.runtime.trust.commensurable.intersection import covariance_intersection

MEANS = np.array([[1.0, 2.0], [3.0, -1.0]])
COVS = np.array([[[2.0, 0.3], [0.3, 1.0]], [[0.5, 0.0], [0.0, 4.0]]])


def test_weights_scale_the_information() -> None:
    mean, cov = covariance_intersection(MEANS, COVS, (0.3, 0.7))
    information = 0.3 * np.linalg.inv(COVS[0]) + 0.7 * np.linalg.inv(COVS[1])
    np.testing.assert_allclose(np.linalg.inv(cov), information)
    moments = 0.3 * np.linalg.solve(COVS[0], MEANS[0]) + 0.7 * np.linalg.solve(COVS[1], MEANS[1])
    np.testing.assert_allclose(information.dot(mean), moments)
    np.testing.assert_allclose(covariance_intersection(MEANS, COVS, (1.0, 0.0))[1], COVS[0])


def test_it_stays_consistent_when_all_errors_are_common() -> None:
    """Copies of one estimate give that estimate, whatever the weights."""
    mean, cov = covariance_intersection(MEANS[[0, 0, 0]], COVS[[0, 0, 0]])
    np.testing.assert_allclose(mean, MEANS[0])
    np.testing.assert_allclose(cov, COVS[0])


def test_wrong_input() -> None:
    with pytest.raises(InputError, match="sum 1"):
        covariance_intersection(MEANS, COVS, (0.5, 0.6))
    with pytest.raises(InputError, match="means are"):
        covariance_intersection(MEANS, COVS[:1])
