"""A Python function as a language model, as an embedder or as a checker, named "module:function"."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.sensors.language.model import AskFailed, ModelReply


def load_function(target: str) -> Callable[..., Any]:
    """InputError where it cannot be imported or called."""
    module_name, colon, path = target.partition(":")
    if not (module_name and colon and path):
        raise InputError(f"{target!r} is no function: write it as module:function")
    try:
        found: Any = import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"{target} cannot be imported: {error}: correct the name, install its package, or name its folder"
            " in PYTHONPATH"
        ) from None
    if not callable(found):
        raise InputError(f"{target} is {type(found).__name__}: give a function")
    function: Callable[..., Any] = found
    return function


class FunctionModel:
    """A LanguageModel around `function(prompt)`. It returns a text, a ModelReply, or a dict of its fields."""

    def __init__(self, target: str) -> None:
        self._function = load_function(target)

    def ask(self, prompt: str, deadline_secs: float) -> ModelReply:
        returned = self._function(prompt)
        if isinstance(returned, ModelReply):
            return returned
        if isinstance(returned, str):
            return ModelReply(text=returned)
        if isinstance(returned, dict) and isinstance(returned.get("text"), str):
            try:
                return ModelReply(**returned)
            except TypeError as error:
                raise AskFailed("garbage", f"the function returned {sorted(returned)}: {error}") from None
        raise AskFailed("garbage", f"the function returned {type(returned).__name__}: return a text")

    def close(self) -> None:
        """It has nothing to close."""


class FunctionEmbedder:
    """An Embedder around `function(text)`, which returns `size` numbers."""

    def __init__(self, target: str, size: int) -> None:
        self._function = load_function(target)
        self._size = size
        self._space = f"{target} {size}"

    @property
    def space(self) -> str:
        return self._space

    @property
    def size(self) -> int:
        return self._size

    def embed(self, text: str, deadline_secs: float) -> np.ndarray:
        return np.asarray(self._function(text), dtype=np.float32)


def checker_of(target: str) -> Callable[[str, str], float | None]:
    """`function(text, prompt)` as a verdict: a truth value or a number 0..1, None where it has none."""
    function = load_function(target)

    def check(text: str, prompt: str) -> float | None:
        verdict = function(text, prompt)
        if verdict is None:
            return None
        right = float(verdict)
        if not math.isfinite(right):
            raise AskFailed("error", f"the checker {target} returned {verdict}: return 0 to 1, or None")
        return min(max(right, 0.0), 1.0)

    return check
