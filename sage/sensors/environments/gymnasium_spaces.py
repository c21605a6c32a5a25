"""Gymnasium's spaces as views and controls: numbers in, numbers out.

Box: a table of named channels, or a frame where it is a uint8 image. Discrete, MultiDiscrete, MultiBinary:
one channel for each value. Dict and Tuple: one view for each part. Invariant: shapes follow from the space
alone. Spaces are recognised by their class's name, so that this module needs no gymnasium.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sage.errors import DataError, InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.environments.stepped import Control, View

#: Of an action: a vector (channels,) -> what the environment's `step` takes.
ActionOf = Callable[[np.ndarray], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One view of an observation. read: observation -> the view's array."""

    view: View
    read: Callable[[Any], np.ndarray]


def observation_parts(space: Any, channels: tuple[str, ...] = ()) -> tuple[Part, ...]:
    """The views of an observation space. channels: names for a single vector; otherwise x0, x1 and so on.

    InputError for a space that has no fixed shape.
    """
    parts = tuple(_parts(space, "", lambda observation: observation))
    if channels:
        shapes = [part.view.tensor.shape for part in parts]
        if shapes != [(len(channels),)]:
            raise InputError(
                f"channels is {list(channels)}: the observation is {shapes}: give a name for each number of a"
                " single vector, or leave it out"
            )
        view = parts[0].view
        named = View(name=view.name, tensor=view.tensor, observes=view.observes, channels=channels)
        parts = (Part(view=named, read=parts[0].read),)
    return parts


def action_control(space: Any, limit: float | None) -> tuple[Control, ActionOf]:
    """The control of an action space, and what turns its values into an action.

    limit: the range of a box's channels that have none of their own.
    """
    kind = type(space).__name__
    if kind == "Discrete":
        first = int(space.start)
        return _choice_control((int(space.n),)), lambda values: first + int(np.argmax(values))
    if kind in ("MultiDiscrete", "MultiBinary"):
        sizes = _sizes(space)
        starts = np.cumsum((0, *sizes))
        shape, dtype = space.shape, space.dtype
        offset = np.asarray(getattr(space, "start", 0))
        return _choice_control(sizes), lambda values: (
            np.array([np.argmax(values[a:b]) for a, b in pairwise(starts)]).reshape(shape) + offset
        ).astype(dtype)
    if kind == "Box":
        low, high = _limits(space, limit)
        shape, dtype = space.shape, space.dtype
        control = Control(low=low, high=high, channels=tuple(f"u{index}" for index in range(len(low))))
        if np.issubdtype(dtype, np.integer):  # a cast alone would round towards 0
            return control, lambda values: np.rint(values).reshape(shape).astype(dtype)
        return control, lambda values: values.reshape(shape).astype(dtype)
    raise InputError(f"the action space is {space}: Box, Discrete, MultiDiscrete or MultiBinary can be used")


def _parts(space: Any, name: str, get: Callable[[Any], Any]) -> Iterator[Part]:
    kind = type(space).__name__
    if kind in ("Dict", "Tuple"):
        keys = list(space.spaces) if kind == "Dict" else list(range(len(space.spaces)))
        for key in keys:
            yield from _parts(space.spaces[key], f"{name}.{key}".lstrip("."), _item(get, key))
        return
    name = name or "observation"
    if kind == "Box":
        yield _box_part(space, name, get)
    elif kind == "Discrete":
        yield _one_hot_part((int(space.n),), int(space.start), name, get)
    elif kind in ("MultiDiscrete", "MultiBinary"):
        yield _one_hot_part(_sizes(space), getattr(space, "start", 0), name, get)
    else:
        raise InputError(
            f"the observation space has a part {name!r} of kind {kind}: Box, Discrete, MultiDiscrete,"
            " MultiBinary, Dict and Tuple can be used"
        )


def _item(get: Callable[[Any], Any], key: str | int) -> Callable[[Any], Any]:
    return lambda observation: get(observation)[key]


def _box_part(space: Any, name: str, get: Callable[[Any], Any]) -> Part:
    shape = tuple(int(size) for size in space.shape) or (1,)
    is_image = space.dtype == np.uint8 and len(shape) in (2, 3)
    dtype = np.dtype(np.uint8 if is_image else np.float32)
    names = tuple(f"x{index}" for index in range(shape[0])) if len(shape) == 1 else ()
    view = View(
        name=name,
        tensor=TensorSpec(shape=shape, dtype=dtype.name),
        observes=("image", "level") if is_image else ("state", "1"),
        channels=names,
    )
    own_shape = space.shape

    def read(observation: Any) -> np.ndarray:
        array = np.asarray(get(observation))
        # A scalar box is a vector of one; any other shape than the declared one is refused by the caller.
        return array.reshape(shape).astype(dtype) if array.shape == own_shape else array

    return Part(view=view, read=read)


def _one_hot_part(sizes: tuple[int, ...], first: Any, name: str, get: Callable[[Any], Any]) -> Part:
    """sizes: values of each number.  first: the least one, of each number or of all."""
    starts = np.cumsum((0, *sizes))[:-1]
    least = np.broadcast_to(np.asarray(first).reshape(-1), starts.shape)
    total = sum(sizes)
    view = View(
        name=name,
        tensor=TensorSpec(shape=(total,), dtype="float32"),
        observes=("state", "1"),
        channels=tuple(f"is_{value}" for value in range(total)),
    )

    def read(observation: Any) -> np.ndarray:
        values = np.asarray(get(observation)).reshape(-1)
        if values.shape != starts.shape or (values < least).any() or (values >= least + sizes).any():
            raise DataError(
                f"{name} is {values.tolist()!s:.80}: expected {len(sizes)} numbers from"
                f" {least.tolist()!s:.80}, below {(least + sizes).tolist()!s:.80}"
            )
        hot = np.zeros(total, dtype=np.float32)
        hot[starts + values.astype(np.int64) - least] = 1.0
        return hot

    return Part(view=view, read=read)


def _sizes(space: Any) -> tuple[int, ...]:
    if type(space).__name__ == "MultiBinary":
        return (2,) * math.prod(int(size) for size in space.shape)
    return tuple(int(size) for size in np.asarray(space.nvec).reshape(-1))


def _choice_control(sizes: tuple[int, ...]) -> Control:
    if min(sizes) < 2:
        raise InputError(f"the action space has sizes {sizes}: an action with one value is no choice")
    total = sum(sizes)
    return Control(
        low=(-1.0,) * total,
        high=(1.0,) * total,
        channels=tuple(f"a{index}" for index in range(total)),
        choices=sizes,
    )


def _limits(space: Any, limit: float | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    low = np.asarray(space.low, dtype=np.float64).reshape(-1)
    high = np.asarray(space.high, dtype=np.float64).reshape(-1)
    is_bounded = np.isfinite(low) & np.isfinite(high) & (high - low < 1e30)
    if not is_bounded.all() and limit is None:
        raise InputError("the action space has no range: set action_limit, for channels without one")
    bound = limit or 0.0
    low, high = np.where(is_bounded, low, -bound), np.where(is_bounded, high, bound)
    return tuple(low.tolist()), tuple(high.tolist())
