"""H-memory and salience on disk, whole or not at all.

Invariant: a store is changed only after the whole file was read, its checksum held and every size agreed.
Bytes are bounded by the capacities: only slots in use are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sage.durable import Contents, read_checked, write_checked
from sage.errors import InputError
from sage.memory.stores.state import Snapshotted, StoreState

SCHEMA = "memory/1"


def save_memory(path: Path, stores: Mapping[str, Snapshotted]) -> int:
    """Write the stores by name, e.g. `{**memory.stores, "salience": salience}`; returns the file's bytes.

    OSError when the disk refuses: the file before it, if any, is untouched.
    """
    return save_states(path, {name: store.state() for name, store in stores.items()})


def save_states(path: Path, states: Mapping[str, StoreState]) -> int:
    """As save_memory, from states that may have been copied earlier, so that the stores can go on
    meanwhile.
    """
    scalars = {
        name: {"geometry": dict(state.geometry), "scalars": dict(state.scalars)}
        for name, state in states.items()
    }
    arrays = {
        f"{name}/{field}": array for name, state in states.items() for field, array in state.arrays.items()
    }
    return write_checked(path, Contents(arrays=arrays, scalars=scalars), schema=SCHEMA)


def load_memory(path: Path, stores: Mapping[str, Snapshotted]) -> None:
    """Restore the stores that `save_memory` wrote, all or none.

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
            f"{path} holds no {name!r}, it has {', '.join(contents.scalars)}: delete it to start afresh"
        )
    found = contents.scalars[name]["geometry"]
    for key, wanted in store.state().geometry.items():
        if found.get(key) != wanted:
            raise InputError(
                f"{path}: {name} has {key} {found.get(key)}, this run has {wanted}: delete it to start afresh"
            )
    arrays = {
        field.removeprefix(f"{name}/"): array
        for field, array in contents.arrays.items()
        if field.startswith(f"{name}/")
    }
    return StoreState(geometry=found, scalars=contents.scalars[name]["scalars"], arrays=arrays)
