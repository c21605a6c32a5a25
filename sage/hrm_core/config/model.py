"""The configuration of a reasoning model. Imports no torch.

Invariant: a ModelConfig that exists can be built; an invalid one raises InputError with the field's name.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sage.errors import InputError
from sage.hrm_core.config.fronts import (
    ContinuousFront,
    Front,
    ObservationFront,
    Positions,
    TokenFront,
    need,
    need_count,
    need_one_of,
)

__all__ = [
    "ContinuousFront",
    "Front",
    "GateKind",
    "GradientKind",
    "HeadsKind",
    "MixerKind",
    "MixerNorm",
    "ModelConfig",
    "ObservationFront",
    "Positions",
    "QSource",
    "TokenFront",
]

MixerKind = Literal["attention", "mlp", "grid", "lines", "linear"]
MixerNorm = Literal["sequence", "features"]
GateKind = Literal["silu", "normed"]
GradientKind = Literal["one_step", "last_cycle", "full"]
QSource = Literal["one_token", "mean"]
HeadsKind = Literal["answer", "deduction"]
#: Settings that configs of earlier versions lack, with the value that gives the same model.
_ADDED_LATER = {"damping": 0.0, "heads": "answer", "is_recurrent": True}
_FRONTS: dict[str, type[Front]] = {
    "tokens": TokenFront,
    "continuous": ContinuousFront,
    "observation": ObservationFront,
}
_COUNTS = (
    "hidden_size",
    "num_heads",
    "H_layers",
    "L_layers",
    "H_cycles",
    "L_cycles",
    "mlp_multiple",
    "halt_max_segments",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One reasoning model: the front end, the recurrence and its halting.

    L_hidden_size: L's width where it is not H's; two linear bridges then join the nets. Heads keep H's size.
    expansion, mlp_multiple: SwiGLU's inner size is expansion * size * 2/3, rounded up to the multiple.
    gate: of a SwiGLU, silu(g) * u, or normed: sigmoid(g) * rms(g * u), which is stable at a hundred times the
    learning rate.
    mixer, mixer_norm: attention; an MLP over the sequence, normed over the sequence (TRM) or over the
    features; or, on the square grid that the cells form, a 3x3 convolution inside the SwiGLU (as URM's over
    one axis, arXiv 2512.14693), or the means of a cell's lines: its row, its column and its box. linear: one
    matrix over a token and its lines, without norm or gate; where the front has no interchangeable symbols,
    over all tokens at once.
    box: rows and columns of a box, for lines; None: the grid has none.
    is_causal: a token attends only to itself and earlier tokens (text); mixer attention only.
    shares_nets: one network is both H and L (TRM); then H_layers == L_layers.
    gradient: which part of a segment is differentiated: the last L and last H call, the last H cycle, all of
    it, or a
    number: that many last L calls and the H calls among them.
    has_q_continue: Q-learning of `continue` and halting where halt > continue (HRM); else halting where
    q_halt > 0 (TRM).
    q_source: where the Q values are read: from one token (the first; the last where none else has seen the
    whole row), or from the mean of all.
    halt_max_segments, halt_exploration: the ACT limits of training.
    damping: share of the old state that each call of a net keeps, z <- damping z + (1 - damping) f(z), as in
    EqR (arXiv 2605.21488, 0.05); it belongs to the model because inference repeats it.
    heads: answer, or deduction: the model also reads candidate sets and has a keep logit for each (cell,
    symbol) and a conflict logit for the puzzle (after LDT, arXiv 2605.08605). It needs a front with
    alike_from.
    is_recurrent: False, for a model of sensors only: there are no nets, and the heads read the tokens
    themselves.
    """

    front: Front
    hidden_size: int
    num_heads: int
    H_layers: int
    L_layers: int
    H_cycles: int
    L_cycles: int
    L_hidden_size: int | None = None
    expansion: float = 4.0
    mlp_multiple: int = 256
    gate: GateKind = "silu"
    mixer: MixerKind = "attention"
    mixer_norm: MixerNorm = "sequence"
    box: tuple[int, int] | None = None
    is_causal: bool = False
    shares_nets: bool = False
    gradient: GradientKind | int = "one_step"
    has_q_continue: bool = True
    q_source: QSource = "one_token"
    halt_max_segments: int = 16
    halt_exploration: float = 0.1
    damping: float = 0.0
    rms_eps: float = 1e-5
    rope_theta: float = 10000.0
    heads: HeadsKind = "answer"
    is_recurrent: bool = True

    def __post_init__(self) -> None:
        for name in _COUNTS:
            need_count(getattr(self, name), name)
        for name in ("expansion", "rms_eps", "rope_theta"):
            need(getattr(self, name) > 0, name, getattr(self, name), "give a number above 0")
        need(
            0 <= self.halt_exploration <= 1,
            "halt_exploration",
            self.halt_exploration,
            "give a probability, 0 to 1",
        )
        need(0 <= self.damping < 1, "damping", self.damping, "give a share, 0 to below 1")
        for name, kind in (
            ("mixer", MixerKind),
            ("mixer_norm", MixerNorm),
            ("gate", GateKind),
            ("q_source", QSource),
            ("heads", HeadsKind),
        ):
            need_one_of(getattr(self, name), get_args(kind), name)
        self._check_grid()
        self._check_widths()
        self._check_gradient()
        if self.shares_nets:
            need(
                self.H_layers == self.L_layers,
                "H_layers",
                self.H_layers,
                "shared nets have one number of layers: give L_layers",
            )
        is_sensors = isinstance(self.front, ObservationFront)
        need(
            not is_sensors or self.q_source == "one_token",
            "q_source",
            self.q_source,
            "a model of sensors has its own readout: give one_token",
        )
        need(
            is_sensors or self.is_recurrent,
            "is_recurrent",
            self.is_recurrent,
            "only a model of sensors can be without nets: give True",
        )
        if self.is_causal:
            need(
                self.mixer == "attention",
                "is_causal",
                True,
                "only attention can be causal: give mixer attention",
            )
            need(not is_sensors, "is_causal", True, "sources have no order: give False")

    def _check_grid(self) -> None:
        has_alike = isinstance(self.front, TokenFront) and self.front.alike_from is not None
        hint = "candidates are of interchangeable symbols (alike_from), which this front has not: give answer"
        need(has_alike or self.heads == "answer", "heads", self.heads, hint)
        hint = "the front has interchangeable symbols (alike_from): give mixer lines"
        need(not has_alike or self.has_lines, "mixer", self.mixer, hint)
        need(
            self.box is None or self.has_lines,
            "box",
            self.box,
            "only mixer lines uses boxes: leave it out",
        )
        if self.mixer != "grid" and not self.has_lines:
            return
        is_grid = (
            isinstance(self.front, TokenFront)
            and not self.front.puzzle_tokens
            and self.side**2 == self.front.seq_len
        )
        need(is_grid, "mixer", self.mixer, "it needs a square of cells and no puzzle tokens")
        if self.box is not None:
            hint = f"give rows and columns of {self.side} cells in all"
            is_pair = isinstance(self.box, (tuple, list)) and [type(each) for each in self.box] == [int, int]
            need(is_pair and min(self.box) > 0 and math.prod(self.box) == self.side, "box", self.box, hint)
            object.__setattr__(self, "box", tuple(self.box))  # YAML and JSON have lists

    def _check_widths(self) -> None:
        need(
            self.hidden_size % self.num_heads == 0,
            "num_heads",
            self.num_heads,
            f"give a divisor of {self.hidden_size}",
        )
        if self.L_hidden_size is not None:
            heads_fit = self.L_hidden_size >= 1 and self.L_hidden_size % self.head_dim == 0
            need(
                heads_fit,
                "L_hidden_size",
                self.L_hidden_size,
                f"give a multiple of the head size, {self.head_dim}",
            )
            is_one = self.L_hidden_size == self.hidden_size
            need(
                is_one or not self.shares_nets,
                "L_hidden_size",
                self.L_hidden_size,
                "shared nets have one width: leave it out",
            )
        if isinstance(self.front, TokenFront):
            room = max(1, self.front.puzzle_tokens) * self.hidden_size
            need(
                self.front.puzzle_emb_ndim <= room,
                "puzzle_emb_ndim",
                self.front.puzzle_emb_ndim,
                f"at most {room} fit",
            )
        need(
            not self.has_rope or self.head_dim % 2 == 0,
            "num_heads",
            self.num_heads,
            "RoPE needs heads of an even size",
        )

    def _check_gradient(self) -> None:
        if isinstance(self.gradient, int) and not isinstance(self.gradient, bool):
            is_met = 1 <= self.gradient <= self.num_calls
            need(
                is_met,
                "gradient",
                self.gradient,
                f"a segment has {self.num_calls} L calls: give 1 to {self.num_calls}",
            )
        else:
            need_one_of(self.gradient, (*get_args(GradientKind), "a number of calls"), "gradient")

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def side(self) -> int:
        """Rows, and columns, of the square grid that the cells form."""
        assert isinstance(self.front, TokenFront)
        return math.isqrt(self.front.seq_len)

    @property
    def has_lines(self) -> bool:
        """Whether a token reads the sums of its row, column and box."""
        has_alike = isinstance(self.front, TokenFront) and self.front.alike_from is not None
        return self.mixer == "lines" or (self.mixer == "linear" and has_alike)

    @property
    def fits_any_side(self) -> bool:
        """Whether the weights fit a square grid of any side: they depend on no place."""
        front = self.front
        return self.mixer == "grid" and isinstance(front, TokenFront) and front.positions != "learned"

    def at_side(self, side: int) -> ModelConfig:
        """The same model for a square grid of `side` rows. InputError unless `fits_any_side`."""
        hint = "the weights depend on the side: give a model of mixer grid without positions"
        need(self.fits_any_side, "side", side, hint)
        need_count(side, "side")
        assert isinstance(self.front, TokenFront)
        return dataclasses.replace(self, front=dataclasses.replace(self.front, seq_len=side**2))

    @property
    def L_size(self) -> int:
        """The width of L."""
        return self.L_hidden_size or self.hidden_size

    @property
    def has_rope(self) -> bool:
        """Whether attention heads are rotated by position."""
        return (
            self.mixer == "attention"
            and not isinstance(self.front, ObservationFront)
            and self.front.positions == "rope"
        )

    @property
    def num_calls(self) -> int:
        """L calls of a segment."""
        return self.H_cycles * self.L_cycles

    @property
    def num_gradient_calls(self) -> int:
        """The last L calls of a segment that are differentiated."""
        if isinstance(self.gradient, int):
            return self.gradient
        return {"one_step": 1, "last_cycle": self.L_cycles, "full": self.num_calls}[self.gradient]

    def inner_size(self, size: int) -> int:
        """SwiGLU's inner width over an axis of `size`: expansion * size * 2/3, rounded up to mlp_multiple."""
        return math.ceil(round(self.expansion * size * 2 / 3) / self.mlp_multiple) * self.mlp_multiple

    @classmethod
    def preset(cls, name: str, *, front: Front | None = None, **changes: Any) -> ModelConfig:
        """A preset by name (hrm-27m, small, ...), with changes; its front is sudoku unless `front` is
        given.
        """
        from sage.hrm_core.config.presets import preset_settings

        return cls(**{**preset_settings(name, front), **changes})

    def to_plain(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `from_plain` is its inverse.

        A setting added after the first snapshots were written is left out at its default, so that the
        snapshots of a model, which are found by these values, stay valid.
        """
        plain = {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in _ADDED_LATER or value != _ADDED_LATER[name]
        }
        if not plain["front"].get("choices", True):
            del plain["front"]["choices"]
        if plain["front"].get("num_worlds") == 1:
            for name in ("num_worlds", "source_worlds", "action_worlds"):
                del plain["front"][name]
        plain["front"]["kind"] = next(
            kind for kind, front in _FRONTS.items() if isinstance(self.front, front)
        )
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> ModelConfig:
        """The config that `to_plain` wrote. InputError on an unknown key or front."""
        settings = dict(plain)
        front = dict(settings.pop("front", {}))
        kind = front.pop("kind", None)
        for name in {"source_dims", "source_worlds", "action_worlds"} & set(front):
            front[name] = tuple(front[name])
        if "choices" in front:
            front["choices"] = tuple((first, stop) for first, stop in front["choices"])
        need(kind in _FRONTS, "front.kind", kind, f"give one of {', '.join(_FRONTS)}")
        try:
            return cls(front=_FRONTS[kind](**front), **settings)
        except TypeError as error:
            raise InputError(f"not a model config: {error}") from error
