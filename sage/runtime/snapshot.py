"""What outlives a run: weights, predictor, leave-one-out Gaussian, trust and H-memory, as one folder for each
set of sensors.

A snapshot is written beside the last one and renamed over it, so that there is always a whole one.
Invariants: it is loaded whole or not at all, only onto the same sources and sizes; weights that are not
finite are never kept.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from sage.errors import DataError, InputError
from sage.hrm_core.checkpoint.weights_file import save_model
from sage.hrm_core.observation.model import ObservationModel
from sage.memory.stores.snapshot import save_states
from sage.memory.stores.state import StoreState
from sage.runtime.loop import Loop
from sage.runtime.tick.reasoner import load_observation_model

FORMAT = 2
MODEL, STATE, MEMORY, ABOUT = "model.safetensors", "state.safetensors", "memory.safetensors", "mind.json"
_UNREADABLE = (OSError, InputError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError)

Arrays = Mapping[str, np.ndarray]


class SnapshotNotFinite(DataError):
    """The weights hold a NaN or an infinity: a run that continued from them would end at once."""


class Learner(Protocol):
    """What has learned state, as arrays by name."""

    def state(self) -> dict[str, np.ndarray]: ...

    def load_state(self, state: dict[str, np.ndarray]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that a snapshot holds, copied: the loop may tick on while it is written."""

    key: str
    model: ObservationModel
    arrays: Arrays
    memory: Mapping[str, StoreState]
    about: Mapping[str, int]


def mind_key(loop: Loop) -> str:
    """Equal for loops that can load each other's snapshots: same sources, same model, same capacities."""
    geometry = {name: dict(store.state().geometry) for name, store in loop.remembering.memory.stores.items()}
    parts = [loop.layout.fingerprint, loop.reasoner.model.config.to_plain(), geometry]
    return hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def capture_mind(loop: Loop) -> Snapshot:
    """Copy what is kept, on the loop's thread, between two ticks. SnapshotNotFinite when it must not be
    kept.
    """
    model = copy.deepcopy(loop.reasoner.model).cpu()
    if not all(
        bool(torch.isfinite(weight).all()) for weight in model.state_dict().values()
    ):  # sync: none is in the tick
        raise SnapshotNotFinite("the weights are not finite")
    return Snapshot(
        key=mind_key(loop),
        model=model,
        arrays=_learned(loop),
        memory={name: _copied(store.state()) for name, store in loop.remembering.memory.stores.items()},
        about={"tick": loop.tick_count, "weights_version": loop.interlude.weights_version},
    )


def write_mind(home: Path, mind: Snapshot) -> None:
    """Write the snapshot under `home`. OSError when there is no room; the one before stays whole."""
    directory, old = _places(home, mind.key)
    temporary = home / f"{mind.key}.new"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        _write_files(temporary, mind)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)  # a full disk is not filled further with half a snapshot
        raise
    if directory.exists():  # else `.old` is the only whole one: it goes last
        shutil.rmtree(old, ignore_errors=True)
        directory.rename(old)
    temporary.rename(directory)
    _sync(home)
    shutil.rmtree(old, ignore_errors=True)


def save_mind(home: Path, loop: Loop) -> None:
    """As capture_mind and write_mind."""
    write_mind(home, capture_mind(loop))


def load_mind(home: Path, loop: Loop) -> str:
    """Continue from the newest whole snapshot; returns what happened in a few words. A damaged one is set
    aside.
    """
    said = ""
    for source in filter(Path.exists, _places(home, mind_key(loop))):
        try:
            about = _load(source, loop)
        except _UNREADABLE as error:
            said += _set_aside(source, error)
            continue
        loop.interlude.weights_version = int(about["weights_version"])
        return f"{said}continued from tick {about['tick']}, weights version {about['weights_version']}"
    has_others = home.is_dir() and any(home.iterdir())
    kept = (
        "what was kept belongs to other sensors or another model, and stays"
        if has_others
        else "nothing was kept before"
    )
    return f"{said}a fresh start" + ("" if said else f": {kept}")


def _load(source: Path, loop: Loop) -> dict[str, Any]:
    """Load all of it, or raise and leave the loop as it was."""
    about = _checked(source)
    model, arrays = load_observation_model(source / MODEL), load_file(source / STATE)
    before = (copy.deepcopy(loop.reasoner.model), _learned(loop))
    try:
        _adopt(loop, model, arrays)
        loop.remembering.memory.load(source / MEMORY)
    except _UNREADABLE:
        _adopt(loop, *before)
        raise
    return about


def _places(home: Path, key: str) -> tuple[Path, Path]:
    """Where the snapshot is, and where the one before is while a new one takes its place."""
    return home / key, home / f"{key}.old"


def _write_files(directory: Path, mind: Snapshot) -> None:
    save_model(directory / MODEL, mind.model)
    (directory / STATE).write_bytes(save(dict(mind.arrays)))
    save_states(directory / MEMORY, mind.memory)
    digests = {name: _digest(directory / name) for name in (MODEL, STATE, MEMORY)}
    (directory / ABOUT).write_text(json.dumps({"format": FORMAT, "digests": digests, **mind.about}))
    _sync(directory)


def _checked(directory: Path) -> dict[str, Any]:
    """mind.json, once every file is what it was when it was written."""
    about: dict[str, Any] = json.loads((directory / ABOUT).read_text())
    if about["format"] != FORMAT:
        raise InputError(f"its format is {about['format']}, this version reads {FORMAT}")
    for name, digest in about["digests"].items():
        if _digest(directory / name) != digest:
            raise InputError(f"{name} is not what was written")
    int(about["weights_version"]), int(about["tick"])
    return about


def _set_aside(source: Path, error: Exception) -> str:
    aside = source.with_name(source.name + ".damaged")
    shutil.rmtree(aside, ignore_errors=True)
    source.rename(aside)
    reason = " ".join(str(error).split())
    return f"the snapshot could not be read ({reason}), it is kept as {aside.name}; "


def _adopt(loop: Loop, model: ObservationModel, arrays: Arrays) -> None:
    loop.reasoner.adopt(model)
    for part, target in _parts(loop).items():
        prefix = f"{part}."
        target.load_state(
            {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
        )


def _parts(loop: Loop) -> dict[str, Learner]:
    fusion = loop.fusion
    return {
        "predictor": fusion.predictor,
        "cross": fusion.cross,
        "level_gate": fusion.level_gate,
        "trust": loop.trust,
    }


def _learned(loop: Loop) -> dict[str, np.ndarray]:
    return {
        f"{part}.{name}": array.copy()
        for part, target in _parts(loop).items()
        for name, array in target.state().items()
    }


def _copied(state: StoreState) -> StoreState:
    arrays = {name: array.copy() for name, array in state.arrays.items()}
    return StoreState(geometry=state.geometry, scalars=copy.deepcopy(dict(state.scalars)), arrays=arrays)


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _sync(directory: Path) -> None:
    """What is in it, and its names, are on the disk."""
    files = [path for path in directory.iterdir() if path.is_file()]
    for path in (*files, directory):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
