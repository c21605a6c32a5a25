"""What the choice of sources is worth on recordings: the loop with places for half of the sensors.

Nothing is learned but the linear prediction, so that policies differ in what they read alone. The error of a
sensor is the mean over time of the squared error of its prediction when it is read, each reading counted by
the time since the one before, in units of the variance of its channels.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from _replays import HOST_RECORDING, SOURCES, _host_config
from _scoring import RECALL, _errors, sensor_streams

from sage.app.config.sage_config import load_config
from sage.app.session.build import build_run
from sage.mailbox.clock import ManualClock
from sage.runtime.prediction.predictor import PredictionScored

POLICIES = ("whittle", "top_k", "deficit", "round_robin", "random")
SECONDS = {"flight": 5.5, "walk": 20.0, "xio": 60.0, "host": 120.0}
#: Seconds at the start that are not scored: trust and the rates of errors are not known yet.
WARM_SHARE = 0.25
OFF = ("practice.enabled=false", "sleep.enabled=false", f"sensors.{RECALL}.enabled=false")


def errors_of(name: str, policy: str, seed: int, secs: float) -> dict[str, float]:
    """By sensor, in units of the variance. UserError where the recording is absent."""
    with tempfile.TemporaryDirectory() as folder:
        source = _host_config(Path(folder), HOST_RECORDING) if name == "host" else SOURCES[name]
        settings = (*OFF, f"seed={seed}", f"attention.policy={policy}")
        num = len(load_config(source, settings, with_files=True).enabled_sensors)
        config = load_config(source, (*settings, f"attention.top_k={num // 2}"), with_files=True)
        clock, events = ManualClock(), list[PredictionScored]()
        run = build_run(config, clock, directory=Path(folder) / "sleep", on_scored=events.append)
        try:
            run.open()
            start_ns = clock.now_ns()
            run.loop.run(until_ns=start_ns + round(secs * 1e9))
        finally:
            run.close()
    first_ns = start_ns + round(WARM_SHARE * secs * 1e9)
    found = {}
    for stream in sensor_streams([event for event in events if event.captured_ns >= first_ns]):
        moved = ((stream.actual - stream.last) != 0).any(axis=0) & (stream.scale > 0)
        if moved.any():
            weighed = _errors(stream.ours, stream, moved) * stream.horizon_secs
            found[stream.source] = float(weighed.sum() / stream.horizon_secs.sum())
    return found


def mean_error(name: str, policy: str, seeds: int, secs: float) -> float:
    """Over the sensors, and over seeds."""
    return float(
        np.mean([list(errors_of(name, policy, seed, secs).values()) for seed in range(seeds)], axis=1).mean()
    )
