"""The published files of HRM and TRM: a torch state dict, and the all_config.yaml beside it.

Invariant: only tensors are unpickled (weights_only). Sizes come from the tensors, the rest from the yaml; a
setting that neither records is assumed only for a published size, and logged. A file of another family raises
CheckpointError.
Names: inner.{H,L}_init, inner.embed_tokens, inner.{H,L}_level.layers.N.{self_attn or mlp_t, mlp},
inner.lm_head, inner.q_head, inner.puzzle_emb, inner.embed_pos, after the prefixes of torch.compile, DDP and
the loss head.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import yaml
from torch import Tensor

from sage.errors import DataError, InputError
from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.checkpoint.saved_model import SavedModel
from sage.hrm_core.checkpoint.weights_file import read_tensors
from sage.hrm_core.config.model import ModelConfig, Positions, TokenFront
from sage.plain_yaml import load_plain
from sage.user_file import read_user_text

log = logging.getLogger(__name__)

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
#: TRM's variants, which are other models.
_VARIANTS = {
    "trm_singlez": "one state instead of two",
    "trm_hier6": "six low-level states",
    "transformers_baseline": "a transformer without recurrence",
}
#: Cells of a puzzle by what the data folder is called, and by the number of symbols.
_CELLS_BY_TASK = {"sudoku": 81, "maze": 900, "arc": 900}
_CELLS_BY_VOCAB = {11: 81, 6: 900, 12: 900}


def read_official(path: Path, *, seq_len: int | None = None) -> SavedModel:
    """A published weights file and the all_config.yaml beside it. seq_len: cells of a puzzle, if not
    recorded.

    CheckpointError: no such file, not a checkpoint, more than weights, another family, or settings missing.
    """
    state = strip_prefixes(read_state(path))
    settings = _read_settings(path.with_name(CONFIG_NAME))
    _refuse_other_families(path, state, settings)
    try:
        assumed = _assumed_settings(state, settings, seq_len)
        config = infer_config(state, settings, seq_len)
    except (ValueError, TypeError, IndexError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    if assumed:
        _warn_or_refuse(path, config, assumed)
    return SavedModel(path=path, config=config, state=state, metadata=settings)


def _refuse_other_families(path: Path, state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> None:
    """CheckpointError with the variant's name, or with the first tensor that HRM and TRM have and it
    lacks.
    """
    arch = str((settings.get("arch") or {}).get("name", "")).split("@")[0].rsplit(".", 1)[-1]
    missing = [name for name in _NEEDED if name not in state]
    variant = arch if arch in _VARIANTS else _variant_of(state) if missing else ""
    if variant:
        raise CheckpointError(
            f"{path}: a {variant} model ({_VARIANTS[variant]}): SAGE loads HRM and TRM only"
        )
    if missing:
        found = ", ".join(list(state)[:3]) or "nothing"
        named = f" (all_config.yaml names {arch})" if arch else ""
        raise CheckpointError(
            f"{path}: not an HRM or TRM checkpoint{named}: {missing[0]} is missing; found {found}, ..."
        )


def _variant_of(state: Mapping[str, Tensor]) -> str:
    """The name of TRM's variant by its tensors; empty if they are of none."""
    if "inner.lm_head.weight" not in state or "inner.q_head.weight" not in state:
        return ""
    has_nets = any(name.startswith("inner.L_level.") for name in state)
    starts = [name for name in state if "init" in name.split(".")[-1].lower()]
    if not has_nets and not starts:
        return "transformers_baseline"
    if has_nets and len(starts) == 1:
        return "trm_singlez"
    return "trm_hier6" if has_nets and len(starts) > 2 else ""


def _assumed_settings(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], seq_len: int | None
) -> dict[str, object]:
    """Name -> value of each setting that changes the answers and that neither the tensors nor the yaml
    record.
    """
    arch = settings.get("arch") or {}
    is_mixer = f"{_LAYER}mlp_t.down_proj.weight" in state
    has_positions = "inner.embed_pos.embedding_weight" in state
    config = infer_config(state, settings, seq_len)
    front = config.front
    assert isinstance(front, TokenFront)
    values: dict[str, object] = {"H_cycles": config.H_cycles, "L_cycles": config.L_cycles}
    if not is_mixer:
        values["num_heads"] = config.num_heads
        if not has_positions:
            values["pos_encodings"] = front.positions
    if config.shares_nets and front.puzzle_emb_ndim:
        values["puzzle_emb_len"] = front.puzzle_tokens
    assumed = {name: value for name, value in values.items() if name not in arch}
    if not (is_mixer or has_positions or seq_len) and _recorded_cells(settings) is None:
        assumed["seq_len"] = front.seq_len
    return assumed


def _warn_or_refuse(path: Path, config: ModelConfig, assumed: Mapping[str, object]) -> None:
    """A warning for a published size, whose settings are known; CheckpointError for any other."""
    layers = 2 if config.shares_nets else 4
    if (config.hidden_size, config.H_layers, config.L_layers) != (512, layers, layers):
        raise CheckpointError(
            f"{path}: {', '.join(assumed)}: not recorded in the weights: put the model's {CONFIG_NAME}"
            " beside it"
        )
    values = ", ".join(f"{name} {value}" for name, value in assumed.items())
    log.warning("%s: no %s with these settings; assuming the published values: %s", path, CONFIG_NAME, values)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a torch or safetensors file; a trainer's wrapping, if any, is removed."""
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file: give a file that torch.save wrote, or a folder that holds one"
        )
    if path.suffix == ".safetensors":
        return read_tensors(path)
    try:
        # Mapped, not read: a table of puzzles can be 99% of a file and is then never loaded.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except UnpicklingError as error:
        raise CheckpointError(
            f"{path}: contains more than weights, or is not a checkpoint: not opened, because it could run"
            " code"
        ) from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise CheckpointError(f"{path}: truncated or not a torch file: {reason}") from error
    wrapped = [
        key for key in _WRAPPERS if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)
    ]
    state = content[wrapped[0]] if wrapped else content
    is_state = isinstance(state, Mapping) and all(
        isinstance(key, str) and isinstance(x, Tensor) for key, x in state.items()
    )
    if not is_state or not state:
        raise CheckpointError(
            f"{path}: contains a {type(content).__name__}, not a state dict: give the model's weights alone"
        )
    return dict(state)


def without_puzzles(found: SavedModel) -> SavedModel:
    """The mean row in place of the table of puzzle embeddings: enough for new puzzles, 1% of the memory."""
    front = found.config.front
    if not isinstance(front, TokenFront) or PUZZLES not in found.state:
        return found
    config = dataclasses.replace(found.config, front=dataclasses.replace(front, num_puzzle_ids=1))
    mean_row = found.state[PUZZLES].float().mean(0, keepdim=True)  # (1, ndim)
    return dataclasses.replace(found, config=config, state={**found.state, PUZZLES: mean_row})


def strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefixes of torch.compile, DDP and the loss head, also repeated ones."""
    return {_strip(name): tensor for name, tensor in state.items()}


def _strip(name: str) -> str:
    while name.startswith(_PREFIXES):
        name = name.split(".", 1)[1]
    return name.replace("._orig_mod.", ".")


def infer_config(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], seq_len: int | None = None
) -> ModelConfig:
    """Sizes from the tensors; cycles and heads from the yaml's `arch`, or the published values without it."""
    arch = settings.get("arch") or {}
    size = state["inner.H_init"].shape[0]
    shares_nets = not any(name.startswith("inner.H_level.") for name in state)
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
    has_mixer = f"{_LAYER}mlp_t.down_proj.weight" in state
    has_positions = "inner.embed_pos.embedding_weight" in state
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
    """RoPE has no weights: the length is the task's. InputError if neither the yaml nor vocab_size gives
    it.
    """
    cells = _recorded_cells(settings) or _CELLS_BY_VOCAB.get(vocab_size)
    if cells is None:
        raise InputError(
            f"the number of cells of a puzzle ({vocab_size} symbols) is not in the weights: give seq_len"
        )
    return cells


def _recorded_cells(settings: Mapping[str, Any]) -> int | None:
    """By `seq_len`, which save_official writes, or by the name of the training data."""
    if isinstance(settings.get("seq_len"), int):
        return int(settings["seq_len"])
    data = str(settings.get("data_path", settings.get("data_paths", ""))).lower()
    return next((cells for task, cells in _CELLS_BY_TASK.items() if task in data), None)


def _infer_inner(state: Mapping[str, Tensor], size: int, arch: Mapping[str, Any]) -> tuple[float, int]:
    """(expansion, mlp_multiple) that give SwiGLU's inner width; published widths are rounded up to 256."""
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
        settings = load_plain(read_user_text(path))
    except (yaml.YAMLError, DataError) as error:
        raise CheckpointError(f"{path}: not YAML: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(settings, Mapping) or not isinstance(settings.get("arch", {}), Mapping):
        raise CheckpointError(
            f"{path}: not a training config: give the all_config.yaml that belongs to the checkpoint"
        )
    return settings


def official_settings(config: ModelConfig) -> dict[str, Any]:
    """The content of all_config.yaml for a model of this family. InputError for a config that has no public
    form.
    """
    front = config.front
    is_public = (
        isinstance(front, TokenFront)
        and front.alike_from is None
        and config.L_hidden_size in (None, config.hidden_size)
        and config.gate == "silu"
        and config.mixer in ("attention", "mlp")
        and config.mixer_norm == "sequence"
        and not config.is_causal
        and config.q_source == "one_token"
        and config.damping == 0
    )
    if not is_public or not isinstance(front, TokenFront):
        raise InputError(
            f"mixer {config.mixer}, gate {config.gate}, damping {config.damping:g}: the public HRM and TRM"
            " code has no such model"
        )
    name = (
        "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1"
        if config.shares_nets
        else "hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1"
    )
    arch: dict[str, Any] = {
        "name": name,
        "hidden_size": config.hidden_size,
        "num_heads": config.num_heads,
        "expansion": config.expansion,
        "H_cycles": config.H_cycles,
        "L_cycles": config.L_cycles,
        "H_layers": 0 if config.shares_nets else config.H_layers,
        "L_layers": config.L_layers,
        "puzzle_emb_ndim": front.puzzle_emb_ndim,
        "pos_encodings": front.positions,
        "halt_max_steps": config.halt_max_segments,
        "halt_exploration_prob": config.halt_exploration,
        "rms_norm_eps": config.rms_eps,
        "rope_theta": config.rope_theta,
    }
    if config.shares_nets:
        arch |= {"puzzle_emb_len": front.puzzle_tokens, "mlp_t": config.mixer == "mlp"}
        arch["no_ACT_continue"] = not config.has_q_continue
    return {"arch": arch, "seq_len": front.seq_len}
