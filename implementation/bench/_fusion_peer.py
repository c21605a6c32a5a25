"""Filters of other packages on the same runs, in an environment of their own (scripts/fusion_peers_env).

Reads one JSON job from standard input: {"runs": [[scenario, seed], ...], "peers": [names]}. Writes one JSON
line for each run and peer: scenario, seed, peer, the sum of the readings, position error, consistency,
cpu_secs. A first line has the limits: states of filterpy, with and without a gate, and Stone Soup's Chernoff
update.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from _fusion_scenarios import (
    MATRIX,
    NUM_STEPS,
    START_COV,
    TRANSITION,
    TRANSITION_NOISE,
    Run,
    consistency,
    make_run,
    position_error,
)

GATE_99 = 9.2103  # chi-square with two degrees of freedom
CAUCHY, NUM_ROUNDS = 2.3849, 5
Track = tuple[np.ndarray, np.ndarray]


def _tracked(run: Run, step_of: Callable[[np.ndarray], tuple[Any, Any]]) -> Track:
    states, covs = np.empty((NUM_STEPS, 4)), np.empty((NUM_STEPS, 4, 4))
    for step, readings in enumerate(run.readings):
        state, cov = step_of(readings)
        states[step], covs[step] = np.ravel(state), cov
    return states, covs


def filterpy_kalman(run: Run, gate: float = np.inf) -> Track:
    from filterpy.kalman import KalmanFilter

    kalman = KalmanFilter(dim_x=4, dim_z=2)
    kalman.x, kalman.P = np.zeros((4, 1)), START_COV.copy()
    kalman.F, kalman.Q, kalman.H = TRANSITION, TRANSITION_NOISE, MATRIX
    noises = [claimed**2 * np.eye(2) for claimed in run.claimed]

    def step(readings: np.ndarray) -> tuple[Any, Any]:
        kalman.predict()
        for reading, noise in zip(readings, noises):
            if not np.isfinite(reading).all():
                continue
            if np.isfinite(gate):
                innovation = reading[:, None] - MATRIX @ kalman.x
                spread = MATRIX @ kalman.P @ MATRIX.T + noise
                if float((innovation.T @ np.linalg.solve(spread, innovation))[0, 0]) > gate:
                    continue
            kalman.update(reading[:, None], R=noise)
        return kalman.x, kalman.P

    return _tracked(run, step)


def filterpy_gated(run: Run) -> Track:
    return filterpy_kalman(run, GATE_99)


def stone_soup(run: Run) -> Track:
    """Kalman updates with the readings whose squared Mahalanobis distance is within the 99% gate."""
    from stonesoup.measures import SquaredMahalanobis
    from stonesoup.models.measurement.linear import LinearGaussian
    from stonesoup.models.transition.linear import LinearGaussianTimeInvariantTransitionModel
    from stonesoup.predictor.kalman import KalmanPredictor
    from stonesoup.types.detection import Detection
    from stonesoup.types.hypothesis import SingleHypothesis
    from stonesoup.types.prediction import GaussianStatePrediction
    from stonesoup.types.state import GaussianState
    from stonesoup.updater.kalman import KalmanUpdater

    motion = LinearGaussianTimeInvariantTransitionModel(
        transition_matrix=TRANSITION, covariance_matrix=TRANSITION_NOISE, control_matrix=None
    )
    models = [
        LinearGaussian(ndim_state=4, mapping=(0, 2), noise_covar=claimed**2 * np.eye(2))
        for claimed in run.claimed
    ]
    predictor, updater, distance = KalmanPredictor(motion), KalmanUpdater(None), SquaredMahalanobis()
    believed = [GaussianState(np.zeros((4, 1)), START_COV)]

    def step(readings: np.ndarray) -> tuple[Any, Any]:
        state = predictor.predict(believed[0], timestamp=None)
        for reading, model in zip(readings, models):
            if np.isfinite(reading).all():
                expected = updater.predict_measurement(state, measurement_model=model)
                detection = Detection(reading[:, None], measurement_model=model)
                if distance(expected, detection) <= GATE_99:
                    fused = updater.update(SingleHypothesis(state, detection, expected))
                    state = GaussianStatePrediction(fused.state_vector, fused.covar)
        believed[0] = GaussianState(state.state_vector, state.covar)
        return state.state_vector, state.covar

    return _tracked(run, step)


def pyrecest(run: Run) -> Track:
    """PyRecEst's Kalman filter with its robust update (Student-t)."""
    from pyrecest.distributions import GaussianDistribution
    from pyrecest.filters.kalman_filter import KalmanFilter

    kalman = KalmanFilter(GaussianDistribution(np.zeros(4), START_COV))
    noises = [claimed**2 * np.eye(2) for claimed in run.claimed]

    def step(readings: np.ndarray) -> tuple[Any, Any]:
        kalman.predict_linear(TRANSITION, TRANSITION_NOISE)
        for reading, noise in zip(readings, noises):
            if np.isfinite(reading).all():
                kalman.update_linear_robust(reading, MATRIX, noise, robust_update="student-t")
        return kalman.filter_state.mu, kalman.filter_state.C

    return _tracked(run, step)


def gtsam_cauchy(run: Run) -> Track:
    """A GTSAM factor graph for each step: prior and readings, Cauchy kernel, weights iterated."""
    import gtsam

    kernel = gtsam.noiseModel.mEstimator.Cauchy.Create(CAUCHY)
    unit = gtsam.noiseModel.Unit.Create(4)
    believed = [np.zeros(4), START_COV.copy()]

    def step(readings: np.ndarray) -> tuple[Any, Any]:
        state = TRANSITION @ believed[0]
        cov = TRANSITION @ believed[1] @ TRANSITION.T + TRANSITION_NOISE
        root = np.linalg.inv(np.linalg.cholesky(cov))
        is_present = np.isfinite(readings).all(axis=1)
        given, sigma = readings[is_present], run.claimed[is_present]
        estimate = state
        for _ in range(NUM_ROUNDS):
            graph = gtsam.GaussianFactorGraph()
            graph.add(0, root, root @ state, unit)
            distance = np.linalg.norm(given - MATRIX @ estimate, axis=1) / sigma
            for reading, claimed, far in zip(given, sigma, distance):
                weight = np.sqrt(kernel.weight(far)) / claimed
                graph.add(0, weight * MATRIX, weight * reading, gtsam.noiseModel.Unit.Create(2))
            estimate = graph.optimize().at(0)
        believed[0], believed[1] = estimate, np.linalg.inv(graph.hessian()[0])
        return estimate, believed[1]

    return _tracked(run, step)


PEERS: dict[str, Callable[[Run], Track]] = {
    "filterpy": filterpy_kalman,
    "filterpy + NIS gate": filterpy_gated,
    "Stone Soup": stone_soup,
    "PyRecEst": pyrecest,
    "GTSAM": gtsam_cauchy,
}


def limits(run: Run) -> dict[str, Any]:
    """What `fusion` compares its own limits with."""
    from stonesoup.models.measurement.linear import LinearGaussian
    from stonesoup.types.detection import GaussianDetection
    from stonesoup.types.hypothesis import SingleHypothesis
    from stonesoup.types.prediction import GaussianStatePrediction
    from stonesoup.types.state import StateVector
    from stonesoup.updater.chernoff import ChernoffUpdater

    states, covs = filterpy_kalman(run)
    first, second = (START_COV + 3.0 * np.ones((4, 4)), np.diag([4.0, 9.0, 2.0, 1.0]))
    means = [[1.0, 2.0, 3.0, 4.0], [-1.0, 0.5, 2.0, 6.0]]
    model = LinearGaussian(ndim_state=4, mapping=(0, 1, 2, 3), noise_covar=np.zeros((4, 4)))
    prediction = GaussianStatePrediction(StateVector(means[0]), first)
    detection = GaussianDetection(StateVector(means[1]), second, measurement_model=model)
    joined = []
    for omega in (0.3, 0.5, 0.8):
        fused = ChernoffUpdater(measurement_model=model, omega=omega).update(
            SingleHypothesis(prediction, detection)
        )
        joined.append([omega, np.ravel(fused.mean).tolist(), np.asarray(fused.covar).tolist()])
    return {
        "states": states.tolist(),
        "covs": covs[-1].tolist(),
        "means": means,
        "given": [first.tolist(), second.tolist()],
        "chernoff": joined,
    }


def versions() -> dict[str, str]:
    from importlib import metadata

    return {name: metadata.version(name) for name in ("filterpy", "stonesoup", "pyrecest", "gtsam")}


def main() -> None:
    warnings.filterwarnings("ignore")
    job = json.load(sys.stdin)
    scenario, seed = job["runs"][0]
    print(json.dumps({"limits": limits(make_run(scenario, seed)), "versions": versions()}), flush=True)
    for scenario, seed in job["runs"]:
        run = make_run(scenario, seed)
        for peer in job["peers"]:
            started = time.process_time()
            states, covs = PEERS[peer](run)
            found = {
                "scenario": scenario,
                "seed": seed,
                "peer": peer,
                "sum": float(np.nansum(run.readings)),
                "error": position_error(states, run),
                "consistency": consistency(states, covs, run),
                "cpu_secs": time.process_time() - started,
            }
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
