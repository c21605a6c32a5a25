"""A policy that replays the actions of a data set, in order, whatever it is shown.

As Isaac-GR00T's replay policy: each request returns the chunk from the current step and moves on by
`execute_steps`; beyond the end the last action is repeated. `reset` starts again, with the option
`episode_index` in another episode.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sage.errors import DataError, InputError
from sage.gr00t_integration.dataset.layout import ACTION
from sage.gr00t_integration.dataset.reader import Dataset, open_dataset
from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.observation import Observation
from sage.gr00t_integration.wire.errors import WireError


class ReplayPolicy:
    """folder: of a data set, v2.1 or v3.0.  execute_steps: 1 to the embodiment's horizon."""

    def __init__(self, folder: Path, embodiment: Embodiment, *, execute_steps: int = 8) -> None:
        if not 1 <= execute_steps <= embodiment.action.horizon:
            raise InputError(f"execute_steps is {execute_steps}: give 1 to {embodiment.action.horizon}")
        dataset = open_dataset(folder)
        self._embodiment = embodiment
        self._execute_steps = execute_steps
        self._episodes = [
            _actions(dataset, embodiment, episode.columns[ACTION]) for episode in dataset.episodes
        ]
        if not self._episodes:
            raise DataError(f"{folder}: no episode: record one")
        for episode in dataset.episodes:
            if not len(episode.columns[ACTION]):
                raise DataError(f"{folder}: episode {episode.index} has no rows: remove it, or record again")
        self._folder = folder
        self._episode = 0
        self._step = 0

    @property
    def about(self) -> str:
        return f"replay of {self._folder.name}, {len(self._episodes)} episodes"

    def act(self, observation: Observation) -> dict[str, np.ndarray]:
        actions = self._episodes[self._episode]
        horizon, num = self._embodiment.action.horizon, observation.batch_size
        chunk = {}
        for name, values in actions.items():
            rows = np.minimum(np.arange(self._step, self._step + horizon), len(values) - 1)
            chunk[name] = np.repeat(values[rows][None], num, axis=0)
        self._step += self._execute_steps
        return chunk

    def reset(self, options: Any) -> dict[str, Any]:
        """WireError for an episode that does not exist; the position stays."""
        episode = options.get("episode_index", 0) if isinstance(options, dict) else 0
        if type(episode) is not int or not 0 <= episode < len(self._episodes):
            raise WireError(f"reset: episode_index {episode!r}: give 0 to {len(self._episodes) - 1}")
        self._episode, self._step = episode, 0
        length = len(next(iter(self._episodes[episode].values())))
        return {"episode_index": episode, "episode_length": length, "current_step": 0}


def _actions(dataset: Dataset, embodiment: Embodiment, values: np.ndarray) -> dict[str, np.ndarray]:
    """name -> (length, D) float32, by the modality file, else by the embodiment's order."""
    keys = embodiment.action.keys
    if dataset.modality is None:
        if values.shape[1] != embodiment.action_size:
            raise DataError(
                f"{dataset.folder}: actions of {values.shape[1]} numbers, not {embodiment.action_size}: give"
                " the embodiment that it was recorded with"
            )
        return {name: part.astype(np.float32) for name, part in embodiment.parted(values).items()}
    ranges, found = dataset.modality.get("action") or {}, {}
    for name, key in keys.items():
        place = ranges.get(name) or {}
        part = values[:, place.get("start", 0) : place.get("end", 0)]
        if part.shape[1] != key.dim or place.get("original_key", ACTION) != ACTION:
            raise DataError(
                f"{dataset.folder}/meta/modality.json: action.{name} has {part.shape[1]} numbers, not"
                f" {key.dim}: give the embodiment that it was recorded with"
            )
        found[name] = part.astype(np.float32)
    return found
