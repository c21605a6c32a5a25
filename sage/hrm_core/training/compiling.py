"""torch.compile for the blocks of a model, one graph for all of them.

Invariant: compiled in place, so the names of parameters and the keys of checkpoints are unchanged.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import nn

from sage.hrm_core.model.attention import prepare_to_compile
from sage.hrm_core.model.layers import Net


def compile_blocks(model: nn.Module) -> None:
    """Compile each block of the nets at its first call; compiling a whole segment would take minutes."""
    prepare_to_compile()
    for module in model.modules():
        if isinstance(module, Net):
            for layer in module.layers:
                layer.compile(dynamic=False)


def uncompiled() -> AbstractContextManager[None]:
    """Context: compiled blocks run eagerly, so that a batch of another shape does not compile them again
    (about 30 s).
    """
    stance: AbstractContextManager[None] = torch.compiler.set_stance("force_eager")
    return stance
