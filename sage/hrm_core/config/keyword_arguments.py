"""Other libraries' words for a reasoning model, put into ours. Nothing else in the code knows them.

Invariant: a word that is not understood is a InputError that names the ones that are; none is dropped.
"""

from __future__ import annotations

from typing import Any

from sage.errors import InputError
from sage.hrm_core.config.fronts import ContinuousFront, TokenFront
from sage.hrm_core.config.model import ModelConfig

_CONTROLLER_WORDS = ("controller_dim", "worker_dim", "num_layers", "num_cycles", "vocab_size", "seq_len")
_SEQUENCE_WORDS = ("input_dim", "h_dim", "l_dim", "output_dim", "seq_len", "num_layers", "num_cycles")
#: Heads of this size where the widths allow it, else halves of it.
_HEAD_SIZE = 64


def config_from_words(**words: Any) -> ModelConfig:
    """`controller_dim=512, worker_dim=256, num_layers=4, num_cycles=6`: puzzles, sudoku unless vocab_size and
    seq_len say otherwise. `input_dim=1, h_dim=64, l_dim=32, output_dim=10`: (B, S, input_dim) in, (B, S,
    output_dim) out.

    num_layers: of each net.  num_cycles: H cycles of a segment, each of two L steps.
    """
    if "controller_dim" in words:
        _check(words, _CONTROLLER_WORDS)
        front: TokenFront | ContinuousFront = TokenFront(
            vocab_size=words.get("vocab_size", 11), seq_len=words.get("seq_len", 81)
        )
        H_size, L_size = words["controller_dim"], words.get("worker_dim", words["controller_dim"])
    elif "input_dim" in words:
        _check(words, _SEQUENCE_WORDS)
        missing = [word for word in ("h_dim", "output_dim") if word not in words]
        if missing:
            raise InputError(f"{', '.join(missing)}: missing beside input_dim, give whole numbers")
        sizes = {"seq_len": words["seq_len"]} if "seq_len" in words else {}
        front = ContinuousFront(input_dim=words["input_dim"], output_dim=words["output_dim"], **sizes)
        H_size, L_size = words["h_dim"], words.get("l_dim", words["h_dim"])
    else:
        given = ", ".join(words) or "nothing"
        raise InputError(
            f"a model of {given}: give a ModelConfig, or controller_dim=..., or input_dim=..., h_dim=...,"
            " output_dim=..."
        )
    num_layers = words.get("num_layers", 2)
    return ModelConfig(
        front=front,
        hidden_size=H_size,
        num_heads=_num_heads(H_size, L_size),
        H_layers=num_layers,
        L_layers=num_layers,
        H_cycles=words.get("num_cycles", 2),
        L_cycles=2,
        L_hidden_size=L_size if L_size != H_size else None,
        mlp_multiple=64,
    )


def _check(words: dict[str, Any], known: tuple[str, ...]) -> None:
    unknown = [word for word in words if word not in known]
    if unknown:
        raise InputError(
            f"{', '.join(unknown)}: not understood here, give {', '.join(known)} or a ModelConfig"
        )
    wrong = [f"{word}={value!r}" for word, value in words.items() if not isinstance(value, int) or value < 1]
    if wrong:
        raise InputError(f"{', '.join(wrong)}: give whole numbers of 1 or more")


def _num_heads(H_size: int, L_size: int) -> int:
    """Heads of the largest even size up to 64 that divides both widths."""
    for size in (_HEAD_SIZE, 48, 32, 24, 16, 8, 4, 2):
        if H_size % size == 0 and L_size % size == 0:
            return H_size // size
    raise InputError(f"widths {H_size} and {L_size} share no even head size: give even numbers")
