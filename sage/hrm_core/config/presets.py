"""Models by name. The published ones, and the ones that learn on a CPU.

Invariant: a preset is settings alone; a front given by the caller always wins over the preset's own (sudoku).
Parameters: hrm-27m, trm-7m and trm-mlp-5m match the published files to the unit; tiny about 16 K on 4x4
sudoku, small about 105 K on 6x6, medium about 0.5 M on 9x9 (under their mixer the count grows with the
sequence), sudoku 45,346, deduce 101,956 and deduce-gpu 722,436 on any.
"""

from __future__ import annotations

from typing import Any

from sage.errors import InputError
from sage.hrm_core.config.fronts import Front, Positions, TokenFront

_HRM: dict[str, Any] = {
    "hidden_size": 512,
    "num_heads": 8,
    "H_layers": 4,
    "L_layers": 4,
    "H_cycles": 2,
    "L_cycles": 2,
}
_TRM: dict[str, Any] = {
    "hidden_size": 512,
    "num_heads": 8,
    "H_layers": 2,
    "L_layers": 2,
    "H_cycles": 3,
    "L_cycles": 6,
    "shares_nets": True,
    "gradient": "last_cycle",
    "has_q_continue": False,
}
# Measured on one CPU thread: 4x4 sudoku is solved in 25 s by an MLP over the sequence; attention reaches 22%
# in that time.
_CPU: dict[str, Any] = {
    "H_cycles": 1,
    "L_cycles": 2,
    "shares_nets": True,
    "gradient": "full",
    "has_q_continue": False,
    "gate": "normed",
    "mixer": "mlp",
    "mixer_norm": "features",
    "mlp_multiple": 64,
    "halt_max_segments": 8,
}
# Has the rows, columns and boxes of the grid, and interchangeable digits, built in. Sudoku 9x9 of 36 to 50
# givens, one CPU thread: 99.8% solved after 94 s of training, where `small`, which learns the lines, has 95%
# after 241 (implementation/LOG.md).
_SUDOKU: dict[str, Any] = {
    **_CPU,
    "mixer": "lines",
    "hidden_size": 32,
    "num_heads": 1,
    "expansion": 3.0,
    "mlp_multiple": 32,
    "H_layers": 2,
    "L_layers": 2,
    "q_source": "mean",
    "halt_exploration": 0.5,
}
# Candidate sets in, keep and conflict logits out (LDT, arXiv 2605.08605). A segment is two calls of the two
# layers: four segments are LDT's eight loops.
_DEDUCE: dict[str, Any] = {
    **_SUDOKU,
    "heads": "deduction",
    "hidden_size": 48,
    "L_cycles": 1,
}
# Cells that relate the thing of a row to the thing of a column, as the task `table` has: each layer reads the
# row and the column, whatever the order of the things; learned positions settle what is equally good.
_RELATIONS: dict[str, Any] = {
    **_CPU,
    "mixer": "lines",
    "hidden_size": 48,
    "num_heads": 1,
    "expansion": 2.0,
    "mlp_multiple": 32,
    "H_layers": 2,
    "L_layers": 2,
    "q_source": "mean",
    "halt_exploration": 1.0,
    "halt_max_segments": 4,
}
#: Presets behind interchangeable symbols on a grid with boxes.
_OF_LINES = ("sudoku", "deduce", "deduce-gpu")
_SETTINGS: dict[str, dict[str, Any]] = {
    "hrm-27m": _HRM,
    "trm-7m": _TRM,
    "trm-mlp-5m": {**_TRM, "mixer": "mlp"},
    "medium": {**_CPU, "hidden_size": 112, "num_heads": 4, "H_layers": 3, "L_layers": 3},
    "small": {**_CPU, "hidden_size": 64, "num_heads": 2, "H_layers": 2, "L_layers": 2},
    "tiny": {**_CPU, "hidden_size": 32, "num_heads": 1, "H_layers": 1, "L_layers": 1},
    "sudoku": _SUDOKU,
    "relations": _RELATIONS,
    "deduce": _DEDUCE,
    "deduce-gpu": {**_DEDUCE, "hidden_size": 128, "mlp_multiple": 64},
    # Behind sensors: a segment of ten tokens in about a millisecond on one CPU thread.
    "loop": {
        "hidden_size": 64,
        "num_heads": 2,
        "H_layers": 1,
        "L_layers": 1,
        "H_cycles": 2,
        "L_cycles": 2,
        "mlp_multiple": 64,
        "halt_max_segments": 4,
        "has_q_continue": False,
    },
}


def preset_names() -> tuple[str, ...]:
    return tuple(_SETTINGS)


def preset_settings(name: str, front: Front | None = None) -> dict[str, Any]:
    """ModelConfig's keywords. InputError for a name that is not one, or a preset that has no front of its
    own.
    """
    if name not in _SETTINGS:
        raise InputError(f"preset is {name!r}: give one of {', '.join(_SETTINGS)}")
    own_box = (
        {"box": (3, 3)} if name in _OF_LINES and front is None else {}
    )  # another front has others, or none
    front = front or _own_front(name)
    if front is None:
        raise InputError(
            f"front is missing: preset {name!r} has none of its own, give a TokenFront or an ObservationFront"
        )
    return {**_SETTINGS[name], **own_box, "front": front}


def _own_front(name: str) -> TokenFront | None:
    """Sudoku 9x9 as published; plain cells with learned positions for the CPU's models, and digits that are
    alike for one.
    """
    if name == "loop":
        return None
    if name in _OF_LINES:
        return TokenFront(vocab_size=11, seq_len=81, positions="none", alike_from=2)
    if name in ("medium", "small", "tiny", "relations"):
        return TokenFront(vocab_size=11, seq_len=81, positions="learned")
    puzzle_tokens = 1 if name == "hrm-27m" else 16
    positions: Positions = "none" if name == "trm-mlp-5m" else "rope"
    return TokenFront(
        vocab_size=11,
        seq_len=81,
        num_puzzle_ids=1,
        puzzle_emb_ndim=512,
        puzzle_tokens=puzzle_tokens,
        positions=positions,
    )
