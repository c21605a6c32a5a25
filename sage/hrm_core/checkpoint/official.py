"""The published files of HRM and TRM: a torch state dict, and the all_config.yaml beside it.

Invariant: only tensors are unpickled (weights_only); what a file holds is told by its tensors first, by its
yaml where they are silent, and a file that fits no model of the family is one line that names what is wrong.
Names (HRM.md's table): inner.{H,L}_init, inner.embed_tokens, inner.{H,L}_level.layers.N.{self_attn or mlp_t,
mlp}, inner.lm_head, inner.q_head, inner.puzzle_emb, inner.embed_pos; a compiled or wrapped model's prefixes
are taken off.
"""

from __future__ import annotations

import dataclasses
import math
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.config.model import ModelConfig, Positions, TokenFront

CONFIG_NAME = "all_config.yaml"
PUZZLES = "inner.puzzle_emb.weights"
_PREFIXES = ("_orig_mod.", "module.", "model.")
_WRAPPERS = ("model", "state_dict", "model_state_dict")
#: What torch's reader has been seen to raise on files with flipped or missing bytes.
_DAMAGE = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)
_LAYER = "inner.L_level.layers.0."
_NEEDED = (
    "inner.H_init",
    "inner.L_init",
    "inner.embed_tokens.embedding_weight",
    "inner.lm_head.weight",
    "inner.q_head.weight",
    f"{_LAYER}mlp.down_proj.weight",
)
#: Cells of a puzzle by what the data folder is called, and by the number of symbols.
_CELLS_BY_TASK = {"sudoku": 81, "maze": 900, "arc": 900}
_CELLS_BY_VOCAB = {11: 81, 6: 900, 12: 900}


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialCheckpoint:
    """state: names as HRM's own state_dict, any dtype.  settings: what the yaml said, empty without one."""

    config: ModelConfig
    state: Mapping[str, Tensor]
    settings: Mapping[str, Any]


def read_official(path: Path, *, seq_len: int | None = None) -> OfficialCheckpoint:
    """A weights file, its all_config.yaml beside it or not. seq_len: needed only where nothing tells it.

    CheckpointError: no such file, not a checkpoint, more than weights, or not of this family.
    """
    state = strip_prefixes(read_state(path))
    settings = _read_settings(path.with_name(CONFIG_NAME))
    missing = [name for name in _NEEDED if name not in state]
    if missing:
        found = ", ".join(list(state)[:3]) or "nothing"
        raise CheckpointError(
            f"{path}: not an HRM or TRM checkpoint: {missing[0]} is missing (it holds {found}, ...)"
        )
    try:
        config = infer_config(state, settings, seq_len)
    except (ValueError, TypeError, IndexError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return OfficialCheckpoint(config=config, state=state, settings=settings)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a torch file, out of a trainer's wrapping where there is one."""
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file: give a file that torch.save wrote, or a folder that holds one"
        )
    try:
        # Mapped, not read: what nobody asks for (a table of puzzles can be 99% of a file) never comes in.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds more than weights, or is no checkpoint: not opened, for it could run code"
        ) from error
    except _DAMAGE as error:
        raise CheckpointError(
            f"{path}: cut off or not a torch file: {' '.join(str(error).split())[:120]}"
        ) from error
    wrapped = [
        key for key in _WRAPPERS if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)
    ]
    state = content[wrapped[0]] if wrapped else content
    is_state = isinstance(state, Mapping) and all(
        isinstance(key, str) and isinstance(x, Tensor) for key, x in state.items()
    )
    if not is_state or not state:
        raise CheckpointError(
            f"{path}: holds a {type(content).__name__}, not a state dict: give the model's weights alone"
        )
    return dict(state)


def without_puzzles(found: OfficialCheckpoint) -> OfficialCheckpoint:
    """One row, the mean, in place of the table of puzzles: for puzzles nobody has met, at a hundredth of the
    memory.
    """
    front = found.config.front
    if not isinstance(front, TokenFront) or PUZZLES not in found.state:
        return found
    config = dataclasses.replace(found.config, front=dataclasses.replace(front, num_puzzle_ids=1))
    mean_row = found.state[PUZZLES].float().mean(0, keepdim=True)  # (1, ndim)
    return dataclasses.replace(found, config=config, state={**found.state, PUZZLES: mean_row})


def strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without what torch.compile, DDP and the loss head put before them, however often."""
    return {_strip(name): tensor for name, tensor in state.items()}


def _strip(name: str) -> str:
    while name.startswith(_PREFIXES):
        name = name.split(".", 1)[1]
    return name.replace("._orig_mod.", ".")


def infer_config(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], seq_len: int | None = None
) -> ModelConfig:
    """Sizes from the tensors, cycles and heads from the yaml's `arch` or, without one, as published."""
    arch = settings.get("arch") or {}
    size, shares_nets = (
        state["inner.H_init"].shape[0],
        not any(name.startswith("inner.H_level.") for name in state),
    )
    is_mixer = f"{_LAYER}mlp_t.down_proj.weight" in state
    front = _infer_front(state, settings, arch, seq_len)
    expansion, multiple = _infer_inner(state, size, arch)
    return ModelConfig(
        front=front,
        hidden_size=size,
        num_heads=int(arch.get("num_heads", max(1, size // 64))),
        H_layers=_count_layers(state, "L" if shares_nets else "H"),
        L_layers=_count_layers(state, "L"),
        H_cycles=int(arch.get("H_cycles", 3 if shares_nets else 2)),
        L_cycles=int(arch.get("L_cycles", 6 if shares_nets else 2)),
        expansion=expansion,
        mlp_multiple=multiple,
        mixer="mlp" if is_mixer else "attention",
        shares_nets=shares_nets,
        gradient="last_cycle" if shares_nets else "one_step",
        has_q_continue=not arch.get("no_ACT_continue", shares_nets),
        halt_max_segments=int(arch.get("halt_max_steps", 16)),
        halt_exploration=float(arch.get("halt_exploration_prob", 0.1)),
        rms_eps=float(arch.get("rms_norm_eps", 1e-5)),
        rope_theta=float(arch.get("rope_theta", 10000.0)),
    )


def _infer_front(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], arch: Mapping[str, Any], seq_len: int | None
) -> TokenFront:
    vocab_size, size = state["inner.embed_tokens.embedding_weight"].shape
    rows = state.get(PUZZLES)
    num_ids, ndim = (0, 0) if rows is None else rows.shape
    is_trm = not any(name.startswith("inner.H_level.") for name in state)
    puzzle_tokens = (int(arch.get("puzzle_emb_len", 16)) if is_trm and ndim else 0) or math.ceil(ndim / size)
    has_mixer, has_positions = (
        f"{_LAYER}mlp_t.down_proj.weight" in state,
        "inner.embed_pos.embedding_weight" in state,
    )
    positions: Positions = (
        "learned" if has_positions else "none" if has_mixer or arch.get("pos_encodings") == "none" else "rope"
    )
    if has_positions:
        seq_len = state["inner.embed_pos.embedding_weight"].shape[0] - puzzle_tokens
    elif has_mixer:
        seq_len = state[f"{_LAYER}mlp_t.down_proj.weight"].shape[0] - puzzle_tokens
    return TokenFront(
        vocab_size=vocab_size,
        seq_len=seq_len or _published_cells(settings, vocab_size),
        num_puzzle_ids=num_ids,
        puzzle_emb_ndim=ndim,
        puzzle_tokens=puzzle_tokens,
        positions=positions,
    )


def _published_cells(settings: Mapping[str, Any], vocab_size: int) -> int:
    """RoPE has no weights: the length is the task's."""
    data = str(settings.get("data_path", settings.get("data_paths", ""))).lower()
    for task, cells in _CELLS_BY_TASK.items():
        if task in data:
            return cells
    if vocab_size in _CELLS_BY_VOCAB:
        return _CELLS_BY_VOCAB[vocab_size]
    raise InputError(
        f"its weights do not tell how many cells a puzzle has ({vocab_size} symbols): give seq_len"
    )


def _infer_inner(state: Mapping[str, Tensor], size: int, arch: Mapping[str, Any]) -> tuple[float, int]:
    """(expansion, mlp_multiple) that make SwiGLU's inner width what it is; as published: rounded up to
    256.
    """
    inner = state[f"{_LAYER}mlp.down_proj.weight"].shape[1]
    expansion = float(arch.get("expansion", 4.0))
    if math.ceil(round(expansion * size * 2 / 3) / 256) * 256 == inner:
        return expansion, 256
    return inner * 3 / (2 * size), 1


def _count_layers(state: Mapping[str, Tensor], net: str) -> int:
    start = f"inner.{net}_level.layers."
    return len({name.removeprefix(start).split(".")[0] for name in state if name.startswith(start)})


def _read_settings(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        settings = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not YAML: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(settings, Mapping) or not isinstance(settings.get("arch", {}), Mapping):
        raise CheckpointError(
            f"{path}: not a training config: give the all_config.yaml that belongs to the checkpoint"
        )
    return settings
