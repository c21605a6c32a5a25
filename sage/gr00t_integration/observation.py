"""An observation as a policy takes it, and the strict checks of observations and actions.

The checks are those of Isaac-GR00T's replay policy and real policies in strict mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.wire.errors import WireError


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One batch of B. video: view -> (B, T, H, W, 3) uint8.  state: name -> (B, T, D) float32.
    language: key -> B lists of one text.
    """

    video: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    language: dict[str, list[list[str]]]

    @property
    def batch_size(self) -> int:
        """B, of the first view."""
        return int(next(iter(self.video.values())).shape[0])


def check_observation(embodiment: Embodiment, observation: Observation) -> Observation:
    """The observation without keys beyond the embodiment's, which are not checked. WireError with the first
    thing that a policy would refuse.
    """
    sizes: set[int] = set()
    num_frames = len(embodiment.video.delta_indices)
    for view in embodiment.video.views:
        array = _array(observation.video, view, "video", np.dtype(np.uint8), num_dims=5)
        if array.shape[1] != num_frames or array.shape[-1] != 3 or not array.size:
            raise WireError(
                f"video.{view}: shape {array.shape}: send (B, {num_frames}, height, width, 3), as many frames"
                " as delta_indices"
            )
        sizes.add(array.shape[0])
    num_states = len(embodiment.state.delta_indices)
    for name, dim in embodiment.state.dims.items():
        array = _array(observation.state, name, "state", np.dtype(np.float32), num_dims=3)
        if array.shape[1:] != (num_states, dim):
            raise WireError(f"state.{name}: shape {array.shape}: send (B, {num_states}, {dim})")
        if not np.isfinite(array).all():
            raise WireError(f"state.{name}: NaN or infinity: send finite numbers")
        sizes.add(array.shape[0])
    sizes.add(_check_language(embodiment.language, observation.language))
    if len(sizes) != 1 or 0 in sizes:
        raise WireError(f"observation: batch sizes {sorted(sizes)}: send one, above 0, for every key")
    return Observation(
        video={view: observation.video[view] for view in embodiment.video.views},
        state={name: observation.state[name] for name in embodiment.state.dims},
        language={embodiment.language: observation.language[embodiment.language]},
    )


def check_actions(embodiment: Embodiment, actions: dict[str, np.ndarray], batch_size: int) -> None:
    """WireError unless `actions` has the embodiment's names, (B, T, D) each, and finite values."""
    for name, key in embodiment.action.keys.items():
        array = actions.get(name)
        wanted = (batch_size, embodiment.action.horizon, key.dim)
        if array is None:
            raise WireError(f"action.{name}: missing; the reply has {_names(actions)}: use its embodiment")
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            raise WireError(f"action.{name}: {_described(array)}: a policy returns floating-point arrays")
        if array.shape != wanted:
            raise WireError(f"action.{name}: shape {array.shape}, not {wanted}: use its embodiment")
        if not np.isfinite(array).all():
            raise WireError(f"action.{name}: NaN or infinity: the chunk is dropped")


def _array(
    values: dict[str, np.ndarray], name: str, group: str, dtype: np.dtype, num_dims: int
) -> np.ndarray:
    if name not in values:
        raise WireError(f"{group}.{name}: missing; the observation has {_names(values)}: send it")
    array: Any = values[name]
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != num_dims:
        raise WireError(
            f"{group}.{name}: {_described(array)}: send an array of {dtype.name} with {num_dims} dimensions"
        )
    return array


def _check_language(key: str, language: dict[str, Any]) -> int:
    """The batch size."""
    texts = language.get(key)
    if not isinstance(texts, list) or not all(
        isinstance(item, list) and len(item) == 1 and isinstance(item[0], str) for item in texts
    ):
        raise WireError(f"language.{key}: {str(texts)[:80]!r}: send a list of lists of one text, [[text]]")
    return len(texts)


def _names(values: dict[str, Any]) -> str:
    return ", ".join(str(name)[:40] for name in list(values)[:8]) or "none"


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype.name} of shape {value.shape}"
    return f"a {type(value).__name__}"
