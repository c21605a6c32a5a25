"""What a reasoning model is, before there is one. Imports no torch.

Invariant: a ModelConfig that exists can be built; every mistake is a ValueError that names the field.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Positions = Literal["rope", "learned", "none"]
MixerKind = Literal["attention", "mlp"]
GradientKind = Literal["one_step", "last_cycle", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFront:
    """Puzzles: `seq_len` cells of `vocab_size` symbols, behind `puzzle_tokens` positions for the puzzle's own embedding."""

    vocab_size: int
    seq_len: int
    num_puzzle_ids: int = 0
    puzzle_emb_ndim: int = 0
    puzzle_tokens: int = 0
    positions: Positions = "rope"

    def __post_init__(self) -> None:
        for name in ("vocab_size", "seq_len"):
            _need(getattr(self, name) >= 1, name, getattr(self, name), "give 1 or more")
        for name in ("num_puzzle_ids", "puzzle_emb_ndim", "puzzle_tokens"):
            _need(getattr(self, name) >= 0, name, getattr(self, name), "give 0 or more")
        _need(self.positions in get_args(Positions), "positions", self.positions, f"give one of {', '.join(get_args(Positions))}")
        has_embedding = self.puzzle_emb_ndim > 0
        hint = "puzzle_emb_ndim, num_puzzle_ids and puzzle_tokens are all 0 or all above 0"
        _need(has_embedding == (self.num_puzzle_ids > 0), "num_puzzle_ids", self.num_puzzle_ids, hint)
        _need(has_embedding == (self.puzzle_tokens > 0), "puzzle_tokens", self.puzzle_tokens, hint)

    @property
    def num_tokens(self) -> int:
        """S: puzzle tokens, then cells."""
        return self.puzzle_tokens + self.seq_len


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationFront:
    """Sensors: source i delivers `source_dims[i]` channels; the model proposes `num_actions` numbers in -1..1 (0: none)."""

    source_dims: tuple[int, ...]
    num_actions: int = 0

    def __post_init__(self) -> None:
        is_valid = len(self.source_dims) > 0 and all(size >= 1 for size in self.source_dims)
        _need(is_valid, "source_dims", self.source_dims, "give one size for each source, each 1 or more")
        _need(self.num_actions >= 0, "num_actions", self.num_actions, "give 0 or more")

    @property
    def num_sources(self) -> int:
        return len(self.source_dims)

    @property
    def num_channels(self) -> int:
        return sum(self.source_dims)

    @property
    def num_tokens(self) -> int:
        """S: sources, then the readout and the register."""
        return len(self.source_dims) + 2


Front = TokenFront | ObservationFront


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One reasoning model: the recurrence, its halting, and the front end it stands behind.

    shares_nets: one network plays H and L (TRM); then H_layers == L_layers.  gradient: which part of a segment
    is differentiated: the last L and last H call, the last H cycle, or all of it.  mlp_multiple: SwiGLU's inner
    size is rounded up to it.  has_q_continue: Q-learning of `continue` and halting where halt > continue (HRM);
    else halting where q_halt > 0 (TRM).  halt_max_segments, halt_exploration: the ACT limits of training.
    """

    front: Front
    hidden_size: int
    num_heads: int
    H_layers: int
    L_layers: int
    H_cycles: int
    L_cycles: int
    expansion: float = 4.0
    mlp_multiple: int = 256
    mixer: MixerKind = "attention"
    shares_nets: bool = False
    gradient: GradientKind = "one_step"
    has_q_continue: bool = True
    halt_max_segments: int = 16
    halt_exploration: float = 0.1
    rms_eps: float = 1e-5
    rope_theta: float = 10000.0

    def __post_init__(self) -> None:
        for name in (
            "hidden_size",
            "num_heads",
            "H_layers",
            "L_layers",
            "H_cycles",
            "L_cycles",
            "mlp_multiple",
            "halt_max_segments",
        ):
            _need(getattr(self, name) >= 1, name, getattr(self, name), "give 1 or more")
        for name in ("expansion", "rms_eps", "rope_theta"):
            _need(getattr(self, name) > 0, name, getattr(self, name), "give a number above 0")
        _need(0 <= self.halt_exploration <= 1, "halt_exploration", self.halt_exploration, "give a probability, 0 to 1")
        _need(self.mixer in get_args(MixerKind), "mixer", self.mixer, f"give one of {', '.join(get_args(MixerKind))}")
        _need(
            self.gradient in get_args(GradientKind), "gradient", self.gradient, f"give one of {', '.join(get_args(GradientKind))}"
        )
        _need(self.hidden_size % self.num_heads == 0, "num_heads", self.num_heads, f"give a divisor of {self.hidden_size}")
        if self.shares_nets:
            _need(self.H_layers == self.L_layers, "H_layers", self.H_layers, "shared nets are one: give L_layers' number")
        if isinstance(self.front, TokenFront):
            room = self.front.puzzle_tokens * self.hidden_size
            _need(self.front.puzzle_emb_ndim <= room, "puzzle_emb_ndim", self.front.puzzle_emb_ndim, f"at most {room} fit")
            has_rope = self.front.positions == "rope" and self.mixer == "attention"
            _need(not has_rope or self.head_dim % 2 == 0, "num_heads", self.num_heads, "RoPE needs heads of an even size")

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads

    def inner_size(self, size: int) -> int:
        """SwiGLU's inner width over an axis of `size`: expansion * size * 2/3, rounded up to mlp_multiple."""
        return math.ceil(round(self.expansion * size * 2 / 3) / self.mlp_multiple) * self.mlp_multiple

    @classmethod
    def preset(cls, name: str, *, front: Front | None = None, **changes: Any) -> ModelConfig:
        """A published model (hrm-27m, trm-7m, trm-mlp-5m: sudoku unless `front` says otherwise) or "tiny" (needs a front)."""
        if name not in _PRESETS:
            raise ValueError(f"preset is {name!r}: give one of {', '.join(sorted(_PRESETS))}")
        settings = {**_PRESETS[name], **changes}
        if front is not None:
            settings["front"] = front
        if "front" not in settings:
            raise ValueError(f"front is missing: preset {name!r} has none of its own, give a TokenFront or an ObservationFront")
        return cls(**settings)

    def to_plain(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `from_plain` is its inverse."""
        plain = dataclasses.asdict(self)
        plain["front"]["kind"] = "tokens" if isinstance(self.front, TokenFront) else "observation"
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> ModelConfig:
        """The config that `to_plain` wrote. ValueError on an unknown key or front."""
        settings = dict(plain)
        front = dict(settings.pop("front", {}))
        kind = front.pop("kind", None)
        if "source_dims" in front:
            front["source_dims"] = tuple(front["source_dims"])
        fronts: dict[Any, type[Front]] = {"tokens": TokenFront, "observation": ObservationFront}
        if kind not in fronts:
            raise ValueError(f"front.kind is {kind!r}: give one of {', '.join(fronts)}")
        try:
            return cls(front=fronts[kind](**front), **settings)
        except TypeError as error:
            raise ValueError(f"not a model config: {error}") from error


def _need(is_met: bool, name: str, value: object, remedy: str) -> None:
    if not is_met:
        raise ValueError(f"{name} is {value!r}: {remedy}")


def _sudoku(puzzle_tokens: int, positions: Positions) -> TokenFront:
    return TokenFront(
        vocab_size=11, seq_len=81, num_puzzle_ids=1, puzzle_emb_ndim=512, puzzle_tokens=puzzle_tokens, positions=positions
    )


_HRM: dict[str, Any] = {"hidden_size": 512, "num_heads": 8, "H_layers": 4, "L_layers": 4, "H_cycles": 2, "L_cycles": 2}
_TRM: dict[str, Any] = {
    "hidden_size": 512, "num_heads": 8, "H_layers": 2, "L_layers": 2, "H_cycles": 3, "L_cycles": 6,
    "shares_nets": True, "gradient": "last_cycle", "has_q_continue": False,
}  # fmt: skip
_PRESETS: dict[str, dict[str, Any]] = {
    "hrm-27m": {**_HRM, "front": _sudoku(1, "rope")},
    "trm-7m": {**_TRM, "front": _sudoku(16, "rope")},
    "trm-mlp-5m": {**_TRM, "mixer": "mlp", "front": _sudoku(16, "none")},
    # The loop's size: a segment of ten tokens in about a millisecond on one CPU thread.
    "tiny": {
        "hidden_size": 64, "num_heads": 2, "H_layers": 1, "L_layers": 1, "H_cycles": 2, "L_cycles": 2,
        "mlp_multiple": 64, "halt_max_segments": 4, "has_q_continue": False,
    },
}  # fmt: skip
