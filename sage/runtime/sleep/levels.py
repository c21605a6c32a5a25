"""Which weights of the loop's model a training loop changes: those of the H net, the others, or all."""

from __future__ import annotations

from torch import nn

from sage.runtime.config import Trains

STRATEGIC = "H_level."


def trained_weights(model: nn.Module, trains: Trains) -> list[nn.Parameter]:
    """H: the H net alone.  L: all others (the L net, the front end, the heads).  both: all."""
    return [
        weight
        for name, weight in model.named_parameters()
        if trains == "both" or name.startswith(STRATEGIC) == (trains == "H")
    ]
