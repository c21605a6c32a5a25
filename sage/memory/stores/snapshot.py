"""H-memory in a file.

Invariant: stores change only after the whole file is read and its checksum and every size are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sage.durable import Contents, read_checked, write_checked
from sage.errors import InputError
from sage.memory.stores.state import Snapshotted, StoreState

SCHEMA = "memory/1"


def save_states(path: Path, states: Mapping[str, StoreState]) -> None:
    """Write the states of stores by name. OSError when the disk is full; the previous file is unchanged."""
    scalars = {
        name: {"geometry": dict(state.geometry), "scalars": dict(state.scalars)}
        for name, state in states.items()
    }
    arrays = {
        f"{name}/{field}": array for name, state in states.items() for field, array in state.arrays.items()
    }
    write_checked(path, Contents(arrays=arrays, scalars=scalars), schema=SCHEMA)


def states_in(contents: Contents) -> dict[str, StoreState]:
    """The states that `save_states` wrote, by name of the store."""
    return {
        name: StoreState(
            geometry=about["geometry"], scalars=about["scalars"], arrays=_arrays_of(contents, name)
        )
        for name, about in contents.scalars.items()
    }


def load_memory(path: Path, stores: Mapping[str, Snapshotted]) -> None:
    """Restore the stores that `save_states` wrote, all or none.

    FileNotFoundError when there is no file. DamagedFile when its checksum differs. InputError, with the store
    and the size, when it was written with other capacities or sources.
    """
    contents = read_checked(path, schema=SCHEMA)
    states = {name: _state_of(path, name, contents, store) for name, store in stores.items()}
    for name, store in stores.items():
        store.restore(states[name])


def _state_of(path: Path, name: str, contents: Contents, store: Snapshotted) -> StoreState:
    if name not in contents.scalars:
        raise InputError(
            f"{path} has no {name!r}, only {', '.join(contents.scalars)}: delete it to start fresh"
        )
    found = contents.scalars[name]["geometry"]
    for key, wanted in store.state().geometry.items():
        if found.get(key) != wanted:
            raise InputError(
                f"{path}: {name} has {key} {found.get(key)}, this run has {wanted}: delete it to start fresh"
            )
    return StoreState(
        geometry=found,
        scalars=contents.scalars[name]["scalars"],
        arrays=_arrays_of(contents, name),
    )


def _arrays_of(contents: Contents, name: str) -> dict[str, np.ndarray]:
    return {
        field.removeprefix(f"{name}/"): array
        for field, array in contents.arrays.items()
        if field.startswith(f"{name}/")
    }
