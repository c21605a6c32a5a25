"""A model as a file holds it: its configuration and its tensors, without the model's class.

Invariant: `load_into` fills a model completely or raises; no tensor is missing and none is left over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.config.model import ModelConfig


class Configured(Protocol):
    """A module that has a ModelConfig."""

    @property
    def config(self) -> ModelConfig: ...

    def state_dict(self) -> Mapping[str, Tensor]:
        """Parameters and persistent buffers by name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """path: the weights file.  state: names as in the model's own state_dict, any dtype.

    metadata: what else the file contains; of a published file, the content of all_config.yaml.
    """

    path: Path
    config: ModelConfig
    state: Mapping[str, Tensor]
    metadata: Mapping[str, Any]

    def load_into(self, model: nn.Module) -> None:
        """Copy the tensors into `model`. CheckpointError names the first name or shape that does not fit."""
        expected = model.state_dict()
        self._refuse("missing", [name for name in expected if name not in self.state])
        self._refuse("not part of this model", [name for name in self.state if name not in expected])
        wrong = [name for name, tensor in expected.items() if tensor.shape != self.state[name].shape]
        if wrong:
            found, needed = tuple(self.state[wrong[0]].shape), tuple(expected[wrong[0]].shape)
            raise CheckpointError(f"{self.path}: {wrong[0]} has shape {found}, not {needed}{_more(wrong)}")
        model.load_state_dict(dict(self.state))

    def _refuse(self, fault: str, names: list[str]) -> None:
        if names:
            raise CheckpointError(f"{self.path}: {fault}: {names[0]}{_more(names)}")


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
