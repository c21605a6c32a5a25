"""Faults put into recordings that the loop replays: trust by evidence, by fixed rules, and learned alone.

A quarter of the recording before its end a source begins to be 4 of its standard deviations off, or to repeat
one reading; figures are of the time after it. Every arm has the same model, practice and seed. Arms: "trust"
is the package's own, and the only one in which readings beyond belief are replaced; "fixed rules" gives a
weight of 0.05 to a source that repeats 10 readings or is 4 standard deviations from its mean, 1 to others;
"learned gate" gives every source the weight 1, so that only the model and the learned gate of its correction
can adapt; "uniform" has neither weights nor the model's correction.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import yaml
from _replays import SOURCES, _run
from _scoring import RECALL

from sage.app.config.sage_config import load_config
from sage.runtime import loop
from sage.runtime.config import TrustConfig
from sage.runtime.prediction.gate import OnlineGate
from sage.runtime.prediction.predictor import PredictionScored
from sage.runtime.trust.contract import Evidence
from sage.runtime.trust.estimator import TrustEstimator

VICTIMS = {"flight": "gyroscope", "xio": "gyroscope"}
SECONDS = {"flight": 5.5, "xio": 40.0}
FAULTS = ("none", "bias", "stuck")
ARMS = ("trust", "fixed rules", "learned gate", "uniform")
BIAS = 4.0  # standard deviations
QUICK_SECS = 1.5
FAULT_AT = 0.75  # of the time replayed
MAX_REPEATS, MAX_LEVEL_SQ, LOW_TRUST = 10, 16.0, 0.05
#: Arm -> fault -> group ("healthy", "faulty") -> mean squared error in training variance.
Errors = dict[str, dict[str, dict[str, float]]]


class FixedRules(TrustEstimator):
    """Trust by two thresholds."""

    def __init__(self, num_sources: int, config: TrustConfig) -> None:
        self._num_repeats = np.zeros(num_sources)
        self._is_far = np.zeros(num_sources, dtype=bool)
        super().__init__(num_sources, config)

    def update(self, evidence: Evidence) -> None:
        super().update(evidence)
        repeats = np.where(evidence.is_repeat, self._num_repeats + 1, 0)
        self._num_repeats = np.where(evidence.fresh, repeats, self._num_repeats)
        self._is_far = np.where(evidence.fresh, evidence.level_sq > MAX_LEVEL_SQ, self._is_far)

    @property
    def trust(self) -> np.ndarray:
        return np.where((self._num_repeats >= MAX_REPEATS) | self._is_far, LOW_TRUST, 1.0)


class AllTrusted(TrustEstimator):
    """No source is distrusted."""

    @property
    def trust(self) -> np.ndarray:
        return np.ones_like(self.alpha)


@contextmanager
def _arm(name: str) -> Iterator[None]:
    forms = {"fixed rules": FixedRules, "learned gate": AllTrusted, "uniform": AllTrusted}
    with ExitStack() as stack:
        if name in forms:
            stack.enter_context(mock.patch.object(loop, "TrustEstimator", forms[name]))
        if name == "uniform":
            stack.enter_context(
                mock.patch.object(OnlineGate, "weigh", lambda self, proposal, channels=None: 0.0 * proposal)
            )
        yield


def run_recording(name: str, seed: int, faults: Sequence[str] = FAULTS, secs: float | None = None) -> Errors:
    """UserError where the recording is absent."""
    secs = SECONDS[name] if secs is None else secs
    found: Errors = {}
    for arm in ARMS:
        clean = _played(name, seed, arm, "none", secs)
        for fault in faults:
            events = clean if fault == "none" else _played(name, seed, arm, fault, secs)
            found.setdefault(arm, {})[fault] = compared(events, clean, VICTIMS[name])
    return found


def _played(name: str, seed: int, arm: str, fault: str, secs: float) -> tuple[PredictionScored, ...]:
    with tempfile.TemporaryDirectory() as folder, _arm(arm):
        path = write_config(name, seed, fault, secs, Path(folder), replaces=arm == "trust")
        return _run(name, str(path), Path(folder), secs).events


def write_config(
    name: str, seed: int, fault: str, secs: float, folder: Path, *, replaces: bool = True
) -> Path:
    """A configuration that replays the recording with a fault in its victim."""
    options = (f"seed={seed}", "sleep.enabled=false", f"trust.replaces={str(replaces).lower()}")
    config = load_config(SOURCES[name], options, with_files=True)
    plain: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    for sensor in plain["sensors"]:
        if sensor["name"] == VICTIMS[name] and fault != "none":
            start = float(sensor["time_zero_secs"]) + FAULT_AT * secs
            sensor["path"] = str(spoiled(sensor, fault, start, folder))
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(plain))
    return path


def spoiled(sensor: dict[str, Any], fault: str, start_secs: float, folder: Path) -> Path:
    """A copy of a sensor's file (CSV or npz) with the fault in its columns from `start_secs` on."""
    source, scale = Path(sensor["path"]), float(sensor.get("time_scale") or 1.0)
    if source.suffix == ".csv":
        with source.open(newline="") as file:
            header, *rows = list(csv.reader(file))
        table = np.array([[float(cell or "nan") for cell in row] for row in rows])
    else:
        with np.load(source, allow_pickle=False) as arrays:
            held = {key: arrays[key] for key in arrays.files}
        header = [str(column) for column in held[f"{sensor['key']}__cols"]]
        table = held[sensor["key"]].astype(float)
    columns = [header.index(column) for column in sensor["columns"]]
    first = int(np.searchsorted(table[:, header.index(sensor["time"])] * scale, start_secs))
    for column in columns:
        if fault == "stuck":
            table[first:, column] = table[first, column]
        else:
            table[first:, column] += BIAS * table[:first, column].std()
    out = folder / f"spoiled{source.suffix}"
    if source.suffix == ".csv":
        with out.open("w", newline="") as file:
            csv.writer(file).writerows([header, *table.tolist()])
    else:
        held[sensor["key"]] = table
        np.savez(out, **held)
    return out


def compared(
    events: Sequence[PredictionScored], clean: Sequence[PredictionScored], victim: str
) -> dict[str, float]:
    """Mean squared errors after the fault's begin, of the healthy sources and of the signal beneath the
    faulty one; scales and true values are those of the run without a fault.
    """
    first, last = clean[0].captured_ns, clean[-1].captured_ns
    start = first + FAULT_AT * (last - first)
    true = {(event.source, event.captured_ns): event.actual for event in clean}
    scale = {event.source: event.scale for event in clean}
    errors: dict[str, list[float]] = {}
    for event in events:
        actual = true.get((event.source, event.captured_ns))
        if event.captured_ns <= start or actual is None or event.source == RECALL:
            continue
        used = scale[event.source] > 0
        square = ((event.predicted - actual)[used] / scale[event.source][used]) ** 2
        errors.setdefault(event.source, []).append(float(square.mean()))
    healthy = [np.mean(each) for source, each in errors.items() if source != victim]
    return {"healthy": float(np.mean(healthy)), "faulty": float(np.mean(errors[victim]))}
