"""Snapshots between runs: weights, the moments of practice, predictor, leave-one-out Gaussian, trust,
H-memory, and of each puzzle stream the solving weights and the trust in its teacher.

One folder for each set of sensors and each model, replaced as a whole (sage.durable); the one before it
stays. Invariants: a snapshot is loaded completely or not at all, only onto the same sources and sizes;
weights that are not finite are never saved.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.numpy import load_file, save

from sage.durable import NewerVersion, digest_of, previous_of, set_aside, write_folder
from sage.errors import DataError
from sage.hrm_core.checkpoint.weights_file import save_model
from sage.hrm_core.observation.model import ObservationModel
from sage.memory.stores.snapshot import save_states
from sage.memory.stores.state import StoreState
from sage.runtime.loop import Loop
from sage.runtime.snapshot_about import DAMAGE, FORMAT, SnapshotUnavailable, read_about, write_about
from sage.runtime.tick.reasoner import load_observation_model

MODEL, STATE, MEMORY = "model.safetensors", "state.safetensors", "memory.safetensors"
#: Absent in the snapshot of a run without puzzle streams.
SOLVING = "solving.safetensors"
#: A device or a disk that fails now.
_PASSING = (OSError, RuntimeError, MemoryError)

Arrays = Mapping[str, np.ndarray]


class SnapshotNotFinite(DataError):
    """The weights contain a NaN or an infinity: a run that continued from them would stop at once."""


class Learner(Protocol):
    """A part of the loop with learned state, as arrays by name."""

    def state(self) -> dict[str, np.ndarray]: ...

    def load_state(self, state: dict[str, np.ndarray]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything a snapshot contains, copied: the loop may continue while it is written.

    key: the folder's name, from `snapshot_key`.  about: tick, weights_version and num_nights (of the senses,
    begun), and in a run: saved_ns and epoch_ns, wall time of the snapshot and of the run's start (unix ns),
    journal, the newest row of the memory journal that it includes.  solving: of the puzzle streams, empty
    without any.
    """

    key: str
    model: ObservationModel
    arrays: Arrays
    memory: Mapping[str, StoreState]
    about: Mapping[str, int]
    solving: Arrays = field(default_factory=dict)


def snapshot_key(loop: Loop) -> str:
    """Equal for loops that can load each other's snapshots: same sources, same model, same capacities."""
    geometry = {
        name: dict(store.state().geometry) for name, store in loop.memory_writer.memory.stores.items()
    }
    parts = [loop.layout.fingerprint, loop.reasoner.model.config.to_plain(), geometry]
    return hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def capture_snapshot(loop: Loop, about: Mapping[str, int] | None = None) -> Snapshot:
    """Copy the learned state, on the loop's thread, between two ticks. SnapshotNotFinite for bad weights.

    about: added to Snapshot.about.
    """
    model = copy.deepcopy(loop.reasoner.model).cpu()
    if not all(
        bool(torch.isfinite(weight).all()) for weight in model.state_dict().values()
    ):  # sync: none is in the tick
        raise SnapshotNotFinite(
            "the weights are not finite: no snapshot is written; continue from the previous one"
        )
    return Snapshot(
        key=snapshot_key(loop),
        model=model,
        arrays=_learned(loop),
        memory={name: _copied(store.state()) for name, store in loop.memory_writer.memory.stores.items()},
        about={
            "tick": loop.tick_count,
            "weights_version": loop.between_ticks.weights_version,
            "num_nights": loop.between_ticks.sleeper.num_nights,
            **(about or {}),
        },
        solving=loop.solving.state(),
    )


def write_snapshot(home: Path, snapshot: Snapshot) -> None:
    """Write the snapshot under `home`. OSError when the disk is full; the previous one stays complete."""
    with write_folder(home / snapshot.key, keeps_previous=True) as folder:
        save_model(folder / MODEL, snapshot.model)
        (folder / STATE).write_bytes(save(dict(snapshot.arrays)))
        save_states(folder / MEMORY, snapshot.memory)
        names = [MODEL, STATE, MEMORY]
        if snapshot.solving:
            (folder / SOLVING).write_bytes(save(dict(snapshot.solving)))
            names.append(SOLVING)
        digests = {name: digest_of((folder / name).read_bytes()) for name in names}
        about = {"format": FORMAT, "digests": digests, **snapshot.about}
        write_about(folder, about)


def save_snapshot(home: Path, loop: Loop) -> None:
    """capture_snapshot and write_snapshot in one call."""
    write_snapshot(home, capture_snapshot(loop))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """message: the outcome in a few words.  about: as Snapshot.about, None when none was loaded."""

    message: str
    about: Mapping[str, int] | None = None


def load_snapshot(home: Path, loop: Loop) -> str:
    """Load the newest complete snapshot; returns the outcome in a few words. A damaged one is renamed.

    SnapshotUnavailable for one of a newer version, or that cannot be read now, NewerVersion where one of its
    files is: it is left as it is.
    """
    return load_newest(home, loop).message


def load_newest(home: Path, loop: Loop, *, epoch_ns: int | None = None) -> Loaded:
    """As load_snapshot. epoch_ns: wall time of this run's start, from which memories count their age."""
    damage = ""
    newest = home / snapshot_key(loop)
    for folder in filter(Path.exists, (newest, previous_of(newest))):
        try:
            about = _load(folder, loop, epoch_ns)
        except (SnapshotUnavailable, NewerVersion):
            raise
        except DAMAGE as error:
            reason = " ".join(str(error).split())
            damage += f"snapshot could not be read ({reason}), renamed to {_aside(folder).name}; "
            continue
        except _PASSING as error:
            reason = " ".join(str(error).split())
            raise SnapshotUnavailable(
                f"{folder}: cannot be loaded now ({reason}): it stays as it is; try again, or move it away"
            ) from error
        loop.between_ticks.weights_version = int(about["weights_version"])
        # a snapshot of an earlier version has the accepted nights alone
        loop.between_ticks.sleeper.num_nights = int(about.get("num_nights", about["weights_version"]))
        version, saved_ns = about["weights_version"], about.get("saved_ns")
        saved = "" if saved_ns is None else f", saved {utc_text(int(saved_ns))}"
        return Loaded(
            message=f"{damage}continued from tick {about['tick']}, weights version {version}{saved}",
            about=about,
        )
    if damage:
        return Loaded(message=f"{damage}starting fresh")
    if home.is_dir() and any(home.iterdir()):
        return Loaded(
            message="no snapshot for these sensors and this model, starting fresh; the other snapshots stay"
        )
    return Loaded(message="no snapshot found, starting fresh")


def _aside(folder: Path) -> Path:
    return set_aside(folder, is_damaged=_is_damaged)


def _is_damaged(folder: Path) -> bool:
    """Whether a file differs from what was written; a whole snapshot was refused for another reason."""
    try:
        read_about(folder)
    except SnapshotUnavailable:
        return False
    except DAMAGE:
        return True
    return False


def utc_text(wall_ns: int) -> str:
    """A wall time as 2026-01-31 12:00:00 UTC."""
    return datetime.fromtimestamp(wall_ns // 10**9, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _load(folder: Path, loop: Loop, epoch_ns: int | None) -> dict[str, Any]:
    """Load all of it, or raise and leave the loop unchanged."""
    try:
        return _loaded(folder, loop, epoch_ns)
    except RuntimeError as error:  # of torch: weights of other names or sizes, or a device that fails now
        if isinstance(error, RecursionError) or not any(word in str(error) for word in ("CUDA", "memory")):
            raise DataError(str(error)) from error
        raise


def _loaded(folder: Path, loop: Loop, epoch_ns: int | None) -> dict[str, Any]:
    about = _checked(folder)
    model, arrays = load_observation_model(folder / MODEL), load_file(folder / STATE)
    solving = load_file(folder / SOLVING) if SOLVING in about["digests"] else {}
    before = (copy.deepcopy(loop.reasoner.model), _learned(loop))
    elapsed_ns = None if epoch_ns is None or "epoch_ns" not in about else epoch_ns - int(about["epoch_ns"])
    try:
        _adopt(loop, model, arrays)
        loop.memory_writer.memory.load(folder / MEMORY, elapsed_ns=elapsed_ns)
        loop.solving.load_state(solving)
    except (*DAMAGE, *_PASSING):
        _adopt(loop, *before)
        raise
    return about


def _checked(folder: Path) -> dict[str, Any]:
    """The content of mind.json, after every file's digest is compared."""
    about = read_about(folder)
    if about["format"] != FORMAT:
        raise DataError(f"its format is {about['format']}, this version reads {FORMAT}")
    int(about["weights_version"]), int(about["tick"])
    return about


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
        "own_record": fusion.own_record,
        "substitutes": fusion.substitutes,
        "ties": fusion.ties,
        "level_gate": fusion.level_gate,
        "trust": loop.trust,
        "context_trust": loop.context_trust,
        "metabolism": loop.between_ticks.allowance,
        "practice": loop.between_ticks.practice,
        **loop.memory_writer.learners,
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
