"""One set of weights for tasks of several sizes: a model for each, sharing each parameter of equal shape.

Invariant: a parameter that two members have by the same name and in the same shape is one tensor.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sage.errors import InputError
from sage.hrm_core.config.fronts import TokenFront
from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.config.presets import preset_settings
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.tasks.contract import TaskSpec


class ModelFamily(nn.Module):
    """members[i] solves tasks of configs[i]. With mixer `lines` they share all weights, and `weights` is the
    state dict of each member; otherwise a tensor that member i does not share is named member{i}.NAME.
    """

    def __init__(self, configs: Sequence[ModelConfig], *, seed: int = 0) -> None:
        super().__init__()
        if not configs:
            raise InputError("configs is empty: give one model config or more")
        self.members = nn.ModuleList(
            HRM(config, generator=torch.Generator().manual_seed(seed)) for config in configs
        )
        self._names = [_shared_names(self.members, index) for index in range(len(configs))]

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> HRM:
        member = self.members[index]
        assert isinstance(member, HRM)
        return member

    @property
    def configs(self) -> tuple[ModelConfig, ...]:
        return tuple(self[index].config for index in range(len(self)))

    def weights(self) -> dict[str, Tensor]:
        """Every tensor once, by name, detached and not copied."""
        return dict(self._tensors())

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy the values of `weights`. InputError unless names and shapes are those of this family."""
        own = self.weights()
        missing, extra = own.keys() - weights.keys(), weights.keys() - own.keys()
        if missing or extra:
            raise InputError(
                f"weights: {len(missing)} tensors are missing and {len(extra)} unknown"
                f" ({min(missing | extra)}, ...): give weights of the same models"
            )
        for name, tensor in own.items():
            if tensor.shape != weights[name].shape:
                raise InputError(
                    f"weights: {name} has shape {tuple(weights[name].shape)}, here {tuple(tensor.shape)}:"
                    " give weights of the same models"
                )
        for name, tensor in own.items():
            tensor.copy_(weights[name])

    def has_weights(self, weights: Mapping[str, Tensor]) -> bool:
        """Whether `weights` are those of this family: equal names, shapes and values, on any device."""
        own = self.weights()
        return own.keys() == weights.keys() and all(
            torch.equal(tensor, weights[name].to(tensor.device)) for name, tensor in own.items()
        )

    def copy(self, device: torch.device | str = "cpu") -> ModelFamily:
        """An independent family with equal weights."""
        other = ModelFamily(self.configs).to(device)
        other.load_weights(self.weights())
        return other

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for member, names in zip(self.members, self._names):
            for own, tensor in member.state_dict().items():
                if own in names:
                    yield names[own], tensor.detach()


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Equal for equal names, shapes and bits, on any device."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(weights):
        array = weights[name].detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def family_of(preset: str, specs: Sequence[TaskSpec], *, seed: int = 0, **changes: Any) -> ModelFamily:
    """Models of a preset for tasks of these shapes. changes: to ModelConfig.

    InputError where the preset does not fit a task.
    """
    return ModelFamily([config_for(preset, spec, **changes) for spec in specs], seed=seed)


def config_for(preset: str, spec: TaskSpec, **changes: Any) -> ModelConfig:
    """The preset with the front that the task's shape asks for. InputError where it does not fit."""
    settings = {**preset_settings(preset), **changes}
    front = settings.pop("front")
    assert isinstance(front, TokenFront)
    if front.alike_from is not None:
        if spec.alike_from is None:
            raise InputError(f"task {spec.name} has no symbols that are alike: give another preset")
        front = dataclasses.replace(front, alike_from=spec.alike_from)
    if spec.num_puzzle_ids > 1 or front.puzzle_emb_ndim:
        raise InputError(
            f"preset {preset} and task {spec.name}: puzzle embeddings cannot be shared between tasks: give"
            " another preset or task"
        )
    front = dataclasses.replace(front, vocab_size=spec.vocab_size, seq_len=spec.seq_len)
    if settings["mixer"] == "lines" or (settings["mixer"] == "linear" and front.alike_from is not None):
        settings["box"] = spec.box
    else:
        settings.pop("box", None)
    return ModelConfig(front=front, **settings)


def _shared_names(members: nn.ModuleList, index: int) -> dict[str, str]:
    """Make member `index` share tensors with those before it; its own name -> name in `weights` of each
    tensor that it is the first to have.
    """
    member = members[index]
    earlier = [dict(_owned(members[other])) for other in range(index)]
    names = {}
    for name, (owner, attribute, tensor) in dict(_owned(member)).items():
        same = next((each[name][2] for each in earlier if _is_same(each.get(name), tensor)), None)
        if same is None:
            is_taken = any(name in each for each in earlier)
            names[name] = f"member{index}.{name}" if is_taken else name
        elif isinstance(same, nn.Parameter):
            owner.register_parameter(attribute, same)
        else:
            owner.register_buffer(attribute, same)
    return names


def _is_same(found: tuple[nn.Module, str, Tensor] | None, tensor: Tensor) -> bool:
    return found is not None and found[2].shape == tensor.shape


def _owned(module: nn.Module) -> Iterator[tuple[str, tuple[nn.Module, str, Tensor]]]:
    """Name, module, attribute and tensor of every entry of the state dict."""
    entries = module.state_dict().keys()
    for path, owner in module.named_modules():
        for attribute, tensor in [*owner._parameters.items(), *owner._buffers.items()]:
            name = f"{path}.{attribute}" if path else attribute
            if tensor is not None and name in entries:
                yield name, (owner, attribute, tensor)
