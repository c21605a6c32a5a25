"""Simulated recordings for `fusion`: a target at nearly constant velocity, five sensors, one fault each.

A run is drawn from a scenario and a seed. Only NumPy is imported: the peers' environment reads this file too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIGMA = np.array([1.0, 1.0, 1.5, 2.0, 0.7])
NUM_STEPS, FAULT = 600, slice(200, 400)
PROCESS_NOISE = 0.02
START_COV = np.diag([100.0, 1.0, 100.0, 1.0])
AXIS = np.array([[1.0, 1.0], [0.0, 1.0]])
AXIS_NOISE = PROCESS_NOISE * np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]])
TRANSITION = np.kron(np.eye(2), AXIS)
TRANSITION_NOISE = np.kron(np.eye(2), AXIS_NOISE)
MATRIX = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0]])
SCENARIOS = (
    "nominal",
    "noise x6",
    "dropout",
    "stuck",
    "bias 8 s",
    "bias 2.5 s",
    "drift",
    "spikes",
    "two collude",
    "overconfident",
)
HELD_OUT = (
    "correlated noise",
    "delay",
    "three collude",
    "out of order",
    "duplicate sources",
    "manoeuvre",
    "kidnap",
    "all noise x3",
)
#: What a fusion that is given lineages is given: the name of each sensor's.
LINEAGES = {"correlated noise": "aaabb", "duplicate sources": "abcdd"}


@dataclass(frozen=True)
class Run:
    """truth: (T, 4).  readings: (T, 5, 2), NaN where there is none.  claimed: (5,) sigma that a filter is
    given.  real: (T, 5) sigma that the oracle is given, infinite where a reading is faulty.
    """

    truth: np.ndarray
    readings: np.ndarray
    claimed: np.ndarray
    real: np.ndarray


def make_run(scenario: str, seed: int) -> Run:
    generator = np.random.default_rng([seed, 7])
    truth = np.zeros((NUM_STEPS, 4))
    factor = np.linalg.cholesky(TRANSITION_NOISE)
    state = generator.standard_normal(4) * np.array([3.0, 0.5, 3.0, 0.5])
    for step in range(NUM_STEPS):
        state = TRANSITION @ state + factor @ generator.standard_normal(4)
        if scenario == "manoeuvre" and step in range(200, 260):
            turn = 3.0 * np.array([np.cos(step / 6), np.sin(step / 6)])
            state = state + np.array([turn[0] / 2, turn[0], turn[1] / 2, turn[1]])
        if scenario == "kidnap" and step == FAULT.start:
            state = state + np.array([60.0, 0.0, -45.0, 0.0])
        truth[step] = state
    noise = generator.standard_normal((NUM_STEPS, 5, 2)) * SIGMA[:, None]
    run = Run(truth, truth[:, None, ::2] + noise, SIGMA.copy(), np.tile(SIGMA, (NUM_STEPS, 1)))
    _spoil(run, scenario, generator)
    return run


def _spoil(run: Run, scenario: str, generator: np.random.Generator) -> None:
    """Put the fault into the readings, and its size into `real`."""
    victim = int(generator.integers(5))
    direction = generator.standard_normal(2)
    direction /= np.linalg.norm(direction)
    readings, real, steps = run.readings, run.real, np.arange(NUM_STEPS)[FAULT]
    clean = run.truth[FAULT, ::2]
    if scenario == "noise x6":
        readings[FAULT, victim] += 5 * (readings[FAULT, victim] - clean)
        real[FAULT, victim] *= 6
    elif scenario == "dropout":
        readings[FAULT, victim] = np.nan
        real[FAULT, victim] = np.inf
    elif scenario == "stuck":
        readings[FAULT, victim] = readings[FAULT.start - 1, victim]
        real[FAULT, victim] = np.inf
    elif scenario.startswith("bias"):
        readings[FAULT, victim] += float(scenario.split()[1]) * SIGMA[victim] * direction
        real[FAULT, victim] = np.inf
    elif scenario == "drift":
        readings[FAULT, victim] += 0.06 * SIGMA[victim] * (steps - FAULT.start + 1)[:, None] * direction
        real[FAULT, victim] = np.inf
    elif scenario == "spikes":
        is_spike = generator.random((len(steps), 5)) < 0.1
        spikes = generator.standard_normal((len(steps), 5, 2))
        readings[FAULT] += np.where(is_spike[:, :, None], 15 * SIGMA[:, None] * spikes, 0.0)
        real[FAULT][is_spike] = np.inf
    elif scenario.endswith("collude"):
        sensors = np.argsort(SIGMA)[: 2 if scenario.startswith("two") else 3]
        slide = 0.06 * (steps - FAULT.start + 1)[:, None] * direction
        readings[FAULT.start : FAULT.stop, sensors] += slide[:, None]
        real[FAULT.start : FAULT.stop, sensors] = np.inf
    elif scenario == "overconfident":
        run.claimed[3] = 0.3
    else:
        _spoil_held_out(run, scenario, generator, victim)


def _spoil_held_out(run: Run, scenario: str, generator: np.random.Generator, victim: int) -> None:
    readings, real, steps = run.readings, run.real, np.arange(NUM_STEPS)[FAULT]
    if scenario == "correlated noise":
        common = generator.standard_normal((len(steps), 1, 2))
        own = readings[FAULT, :3] - run.truth[FAULT, None, ::2]
        mixed = np.sqrt(0.2) * own + np.sqrt(0.8) * common * SIGMA[:3, None]
        readings[FAULT, :3] = run.truth[FAULT, None, ::2] + mixed
    elif scenario == "delay":
        readings[FAULT, victim] = readings[FAULT.start - 8 : FAULT.stop - 8, victim].copy()
        real[FAULT, victim] = np.inf
    elif scenario == "out of order":
        late = readings[FAULT, victim].copy()
        for start in range(0, len(late) - 3, 4):
            late[start : start + 4] = late[start + generator.permutation(4)]
        readings[FAULT, victim] = late
        real[FAULT, victim] = np.inf
    elif scenario == "duplicate sources":
        readings[FAULT, 4] = readings[FAULT, 3]
        run.claimed[4] = run.claimed[3]
        real[:, 4] = np.where(np.arange(NUM_STEPS) < FAULT.start, real[:, 4], np.inf)
    elif scenario == "all noise x3":
        readings[FAULT] += 2 * (readings[FAULT] - run.truth[FAULT, None, ::2])
        real[FAULT] *= 3


def kalman(run: Run, sigma: np.ndarray, jump: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(T, 4) states and (T, 4, 4) covariances of a Kalman filter; sigma: (T, 5), infinite: not used.

    jump: step from which nothing is known of the state.
    """
    state, cov = np.zeros(4), START_COV.copy()
    states, covs = np.empty((NUM_STEPS, 4)), np.empty((NUM_STEPS, 4, 4))
    for step in range(NUM_STEPS):
        state, cov = TRANSITION @ state, TRANSITION @ cov @ TRANSITION.T + TRANSITION_NOISE
        if step == jump:
            cov = cov + 100 * START_COV
        for sensor in range(5):
            reading = run.readings[step, sensor]
            if np.isfinite(sigma[step, sensor]) and np.isfinite(reading).all():
                spread = MATRIX @ cov @ MATRIX.T + sigma[step, sensor] ** 2 * np.eye(2)
                gain = cov @ MATRIX.T @ np.linalg.inv(spread)
                state, cov = state + gain @ (reading - MATRIX @ state), cov - gain @ MATRIX @ cov
        states[step], covs[step] = state, cov
    return states, covs


def position_error(states: np.ndarray, run: Run, steps: slice = FAULT) -> float:
    """Root mean square distance."""
    return float(np.sqrt(((states - run.truth)[steps, ::2] ** 2).sum(axis=1).mean()))


def consistency(states: np.ndarray, covs: np.ndarray, run: Run, steps: slice = FAULT) -> float:
    """ANEES per dimension: 1 where the covariances are right."""
    errors = (states - run.truth)[steps]
    return float(np.einsum("ti,tij,tj->t", errors, np.linalg.inv(covs[steps]), errors).mean() / 4)


def oracle(run: Run, scenario: str) -> np.ndarray:
    """(T, 4) of the Kalman filter that is given the real noise, which readings are faulty, and when the
    target jumps.
    """
    jump = FAULT.start if scenario == "kidnap" else None
    return kalman(run, run.real, jump)[0]
