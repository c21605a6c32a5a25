"""torch.compile for the blocks of a model, one graph for all of them.

Invariant: compiled in place, so that parameters keep their names and checkpoints their keys.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import nn

from sage.hrm_core.model.attention import prepare_to_compile
from sage.hrm_core.model.layers import Net


def compile_blocks(model: nn.Module) -> None:
    """Each block of the nets is compiled at its first call; a whole segment would take minutes to build."""
    prepare_to_compile()
    for module in model.modules():
        if isinstance(module, Net):
            for layer in module.layers:
                layer.compile(dynamic=False)


def uncompiled() -> AbstractContextManager[None]:
    """Inside, compiled blocks run as they are written: a batch of another shape is not worth half a minute of
    building.
    """
    stance: AbstractContextManager[None] = torch.compiler.set_stance("force_eager")
    return stance
