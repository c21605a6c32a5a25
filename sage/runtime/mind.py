"""What outlives a run: weights, predictor, leave-one-out Gaussian, trust and H-memory, as one folder.

A snapshot is written beside the last one and renamed over it, so that there is always a whole one. It is
loaded only onto the same sources in the same order; anything else starts fresh, and says so.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sage.hrm_core.checkpoint import save_model
from sage.memory.snapshot import load_memory, save_memory
from sage.runtime.loop import Loop
from sage.runtime.reasoner import load_observation_model

FORMAT = 1


class Learner(Protocol):
    """What has learned state, as arrays by name."""

    def state(self) -> dict[str, np.ndarray]: ...

    def load_state(self, state: dict[str, np.ndarray]) -> None: ...


def save_mind(directory: Path, loop: Loop) -> None:
    """Write the snapshot. OSError when there is no room; the one before stays whole."""
    temporary = directory.with_name(directory.name + ".new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_model(temporary / "model.safetensors", loop.reasoner.model)
    arrays = {
        f"{part}.{name}": np.ascontiguousarray(array) for part, state in _states(loop).items() for name, array in state.items()
    }
    save_file(arrays, temporary / "state.safetensors")
    save_memory(temporary / "memory.safetensors", loop.remembering.memory.stores)
    about = {
        "format": FORMAT,
        "fingerprint": loop.layout.fingerprint,
        "tick": loop.tick_count,
        "weights_version": loop.interlude.weights_version,
    }
    (temporary / "mind.json").write_text(json.dumps(about))
    _sync(temporary)
    old = directory.with_name(directory.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if directory.exists():
        directory.rename(old)
    temporary.rename(directory)
    _sync(directory.parent)
    shutil.rmtree(old, ignore_errors=True)


def load_mind(directory: Path, loop: Loop) -> str:
    """Continue from the snapshot; returns what happened in a few words. A damaged one is set aside, never half loaded."""
    source = directory if directory.exists() else directory.with_name(directory.name + ".old")
    if not source.exists():
        return "a fresh start: nothing was kept before"
    try:
        about = json.loads((source / "mind.json").read_text())
        if about.get("format") != FORMAT or about["fingerprint"] != loop.layout.fingerprint:
            return "a fresh start: what was kept belongs to other sensors"
        model = load_observation_model(source / "model.safetensors")
        arrays = load_file(source / "state.safetensors")
        loop.reasoner.adopt(model)
        for part, target in _parts(loop).items():
            prefix = f"{part}."
            target.load_state({name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)})
        load_memory(source / "memory.safetensors", loop.remembering.memory.stores)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        aside = source.with_name(source.name + ".damaged")
        shutil.rmtree(aside, ignore_errors=True)
        source.rename(aside)
        return f"a fresh start: the snapshot could not be read ({error}); it is kept as {aside.name}"
    loop.interlude.weights_version = int(about["weights_version"])
    return f"continued from tick {about['tick']}, weights version {loop.interlude.weights_version}"


def _parts(loop: Loop) -> dict[str, Learner]:
    fusion = loop.fusion
    return {"predictor": fusion.predictor, "cross": fusion.cross, "level_gate": fusion.level_gate, "trust": loop.trust}


def _states(loop: Loop) -> dict[str, dict[str, np.ndarray]]:
    return {part: target.state() for part, target in _parts(loop).items()}


def _sync(directory: Path) -> None:
    """What was renamed is on the disk."""
    for path in (*directory.iterdir(), directory):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
