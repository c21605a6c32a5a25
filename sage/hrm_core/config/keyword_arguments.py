"""The keyword arguments of earlier HRM packages, converted to a ModelConfig.

Invariant: an unknown keyword raises InputError with the known ones; none is ignored.
"""

from __future__ import annotations

from typing import Any

from sage.errors import InputError
from sage.hrm_core.config.fronts import ContinuousFront, TokenFront
from sage.hrm_core.config.model import ModelConfig

_CONTROLLER_NAMES = ("controller_dim", "worker_dim", "num_layers", "num_cycles", "vocab_size", "seq_len")
_SEQUENCE_NAMES = ("input_dim", "h_dim", "l_dim", "output_dim", "seq_len", "num_layers", "num_cycles")
#: Heads of this size where the widths allow it, else halves of it.
_HEAD_SIZE = 64


def config_from_keywords(**keywords: Any) -> ModelConfig:
    """`controller_dim=512, worker_dim=256, num_layers=4, num_cycles=6`: puzzles of vocab_size symbols (11)
    and seq_len cells (81). `input_dim=1, h_dim=64, l_dim=32, output_dim=10`: (B, S, input_dim) in, (B, S,
    output_dim) out; h_dim is 64, l_dim h_dim and output_dim input_dim if not given.

    num_layers: of each net.  num_cycles: H cycles of a segment, each of two L steps.
    """
    if "controller_dim" in keywords:
        _check(keywords, _CONTROLLER_NAMES)
        front: TokenFront | ContinuousFront = TokenFront(
            vocab_size=keywords.get("vocab_size", 11), seq_len=keywords.get("seq_len", 81)
        )
        H_size, L_size = keywords["controller_dim"], keywords.get("worker_dim", keywords["controller_dim"])
    elif "input_dim" in keywords:
        _check(keywords, _SEQUENCE_NAMES)
        sizes = {"seq_len": keywords["seq_len"]} if "seq_len" in keywords else {}
        front = ContinuousFront(
            input_dim=keywords["input_dim"],
            output_dim=keywords.get("output_dim", keywords["input_dim"]),
            **sizes,
        )
        H_size = keywords.get("h_dim", _HEAD_SIZE)
        L_size = keywords.get("l_dim", H_size)
    else:
        given = ", ".join(keywords) or "nothing"
        raise InputError(f"a model of {given}: give a ModelConfig, or controller_dim=..., or input_dim=...")
    num_layers = keywords.get("num_layers", 2)
    return ModelConfig(
        front=front,
        hidden_size=H_size,
        num_heads=_num_heads(H_size, L_size),
        H_layers=num_layers,
        L_layers=num_layers,
        H_cycles=keywords.get("num_cycles", 2),
        L_cycles=2,
        L_hidden_size=L_size if L_size != H_size else None,
        mlp_multiple=64,
    )


def _check(keywords: dict[str, Any], known: tuple[str, ...]) -> None:
    unknown = [name for name in keywords if name not in known]
    if unknown:
        raise InputError(f"{', '.join(unknown)}: unknown keyword: give {', '.join(known)} or a ModelConfig")
    wrong = [
        f"{name}={value!r}" for name, value in keywords.items() if not isinstance(value, int) or value < 1
    ]
    if wrong:
        raise InputError(f"{', '.join(wrong)}: give whole numbers of 1 or more")


def _num_heads(H_size: int, L_size: int) -> int:
    """Heads of the largest even size up to 64 that divides both widths."""
    for size in (_HEAD_SIZE, 48, 32, 24, 16, 8, 4, 2):
        if H_size % size == 0 and L_size % size == 0:
            return H_size // size
    raise InputError(f"widths {H_size} and {L_size} share no even head size: give even numbers")
