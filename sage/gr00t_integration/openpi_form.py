"""An observation and its actions as openpi's servers write them.

Request: `observation/VIEW` (H, W, 3) uint8, or (T, H, W, 3) for several frames; `observation/STATE` (D,) or
(T, D) float32; `prompt` text. Reply: `actions` (T, D), the embodiment's keys side by side. Invariant: each
function is the inverse of another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.observation import Observation
from sage.gr00t_integration.wire.errors import WireError

PREFIX, PROMPT, ACTIONS = "observation/", "prompt", "actions"
#: The text frame that acknowledges a reset; it may arrive before an answer that was asked for earlier.
RESET_TEXT = "reset successful"


def request_of(observation: Observation) -> dict[str, Any]:
    """The first of the batch. InputError is not raised: an observation of the loop has B = 1."""
    arrays = {**observation.video, **observation.state}
    flat: dict[str, Any] = {
        f"{PREFIX}{key}": np.ascontiguousarray(array[0, 0] if array.shape[1] == 1 else array[0])
        for key, array in arrays.items()
    }
    (texts,) = observation.language.values()
    return {**flat, PROMPT: texts[0][0]}


def observation_of(embodiment: Embodiment, request: dict[str, Any]) -> Observation:
    """B = 1. WireError where a value is not an array; missing keys are left to the checks."""
    video = _parts(request, list(embodiment.video.views), num_dims=4)
    state = _parts(request, list(embodiment.state.dims), num_dims=2)
    prompt = request.get(PROMPT)
    if not isinstance(prompt, str):
        raise WireError(f"{PROMPT}: a {type(prompt).__name__}: send the instruction as text")
    state = {name: array.astype(np.float32) for name, array in state.items()}
    return Observation(video=video, state=state, language={embodiment.language: [[prompt]]})


def actions_to_reply(embodiment: Embodiment, actions: dict[str, np.ndarray]) -> dict[str, Any]:
    return {ACTIONS: np.ascontiguousarray(embodiment.joined(actions)[0])}


def actions_of(embodiment: Embodiment, reply: Any) -> dict[str, np.ndarray]:
    """name -> (1, T, D) float32. WireError for another form or size."""
    array = reply.get(ACTIONS) if isinstance(reply, dict) else None
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.ndim != 2:
        raise WireError(f"the reply has no array '{ACTIONS}' of (T, D) floating-point numbers")
    if array.shape[1] != embodiment.action_size:
        raise WireError(
            f"{ACTIONS}: shape {array.shape}: the embodiment {embodiment.name} has"
            f" {embodiment.action_size} numbers a step: use its server"
        )
    with np.errstate(over="ignore"):  # beyond float32 is infinity, which the checks refuse
        values = array.astype(np.float32)
    return embodiment.parted(values[None])


def _parts(request: dict[str, Any], names: list[str], *, num_dims: int) -> dict[str, np.ndarray]:
    """Arrays with a batch dimension of 1; where the time is missing, with one of 1."""
    found = {}
    for name in names:
        value = request.get(f"{PREFIX}{name}")
        if value is None:
            continue
        if not isinstance(value, np.ndarray):
            raise WireError(f"{PREFIX}{name}: a {type(value).__name__}: send an array")
        found[name] = value[None, None] if value.ndim == num_dims - 1 else value[None]
    return found
