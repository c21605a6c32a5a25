"""A model that starts from the weights of another: one with the same nets, whose heads may be fewer.

Invariant: every tensor of the source is used; only heads that the source has not are left as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from sage.errors import InputError

#: Tensors that a source may lack.
_OWN_HEADS = "inner.deduction_heads."


def warm_start(model: nn.Module, state: Mapping[str, Tensor], *, name: str) -> None:
    """Copy the tensors of `state` into `model`. name: of the source, for the error.

    InputError where a tensor is missing, has another shape, or has no place in the model.
    """
    own = model.state_dict()
    for each, tensor in state.items():
        if each not in own:
            raise InputError(
                f"start is {name}: its {each} has no place in this model: give a model of the same kind"
            )
        if own[each].shape != tensor.shape:
            shapes = f"{tuple(tensor.shape)}, here {tuple(own[each].shape)}"
            raise InputError(f"start is {name}: {each} has shape {shapes}: give a model of the same sizes")
    missing = [each for each in own if each not in state and not each.startswith(_OWN_HEADS)]
    if missing:
        raise InputError(f"start is {name}: it has no {missing[0]}: give a model of the same kind")
    model.load_state_dict({**own, **state})
