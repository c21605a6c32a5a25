"""A block of mixer `lines` in fp32 on a CPU, by compiled loops, forward and backward.

h = rms(x + down(gate(up [x, lines]))): each line is multiplied by its own columns of `up`, once for all its
tokens, and its product is added where the gate reads it. A few puzzles at a time, so that what is between the
matrix products stays in the processor's cache.

Invariant: results and gradients are those of torch's operations in `layers.LinesBlock`, to fp32's rounding.
Shapes: B puzzles, S tokens (row, column, symbol), D hidden, F inner; N tokens of some puzzles; T of a kind of
line.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sage.compiled import has_compiler
from sage.hrm_core.model.precision import has_amx

#: Tokens that are computed together: at width 48 their numbers fit a cache of 1 MB.
_NUM_TOGETHER = 768
#: Numbers (B S D, of each block) that a process without gradients computes by torch before it loads numba:
#: about 0.8 s of work, and loading takes as long.
_WORTH_LOADING = 1 << 25
#: Of a puzzle: below, as in a 4x4 sudoku, little is saved and torch computes.
_LEAST_TOKENS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """A puzzle's cells and lines: rows, columns, boxes (None: none), and cells with one token a symbol."""

    side: int
    box: tuple[int, int] | None
    symbols: int

    @property
    def num_tokens(self) -> int:
        return self.side**2 * self.symbols

    @property
    def line_tokens(self) -> tuple[int, int, int, int]:
        """T of a puzzle's rows, columns, boxes and cells; 0 for a kind that is absent."""
        each = self.side * self.symbols
        return each, each, each if self.box else 0, self.side**2 if self.symbols > 1 else 0

    @property
    def lengths(self) -> tuple[int, int, int, int]:
        """Tokens in a row, a column, a box, a cell."""
        return self.side, self.side, self.side, self.symbols

    @property
    def num_together(self) -> int:
        """Puzzles that are computed together."""
        return max(1, _NUM_TOGETHER // self.num_tokens)

    @property
    def is_even(self) -> bool:
        """Whether all kinds of lines are there, with equal T."""
        return min(self.line_tokens) == max(self.line_tokens)

    def room(self, like: Tensor, num_puzzles: int, size: int) -> list[Tensor]:
        """(T, size) of so many puzzles for rows, columns, boxes and cells, not filled."""
        return self.parts(like.new_empty(num_puzzles * sum(self.line_tokens), size))

    def parts(self, lines: Tensor) -> list[Tensor]:
        """Rows, columns, boxes and cells, one after another in `lines`."""
        num_puzzles = len(lines) // sum(self.line_tokens)
        return list(lines.split([num_puzzles * num for num in self.line_tokens]))

    def split(self, up: Tensor) -> list[Tensor]:
        """The columns of up, (2 F, D) each, for a token itself, rows, columns, boxes and cells; zeros for an
        absent kind.
        """
        own, *others = up.chunk(1 + sum(num > 0 for num in self.line_tokens), dim=1)
        left = iter(others)
        return [own, *(next(left) if num else torch.zeros_like(own) for num in self.line_tokens)]

    def cells(self, tokens: Tensor) -> Any:
        """(N, size) as the kernels take it: a numpy array (cells, symbols size) on the same memory."""
        return _array(tokens).reshape(len(tokens) // self.symbols, self.symbols * tokens.shape[1])

    def arguments(self, lines: list[Tensor]) -> tuple[Any, ...]:
        """side, box and lines, as the kernels take them."""
        row, col, box, cell = lines
        return self.side, *(self.box or (1, 1)), *map(self.cells, (row, col, box)), _array(cell)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """What the backward pass needs of the forward pass: gate_up (N, 2 F), gated (N, F), the scales of the two
    norms (N,), the sums of lines (T, D).
    """

    gate_up: Tensor
    gated: Tensor
    gate_scale: Tensor
    out_scale: Tensor
    sums: list[Tensor]

    @classmethod
    def empty(cls, x: Tensor, num_puzzles: int, inner: int, square: Square) -> _Room:
        tokens = num_puzzles * square.num_tokens
        return cls(
            gate_up=x.new_empty(tokens, 2 * inner),
            gated=x.new_empty(tokens, inner),
            gate_scale=x.new_empty(tokens),
            out_scale=x.new_empty(tokens),
            sums=square.room(x, num_puzzles, x.shape[-1]),
        )

    def of(self, first: int, num: int, square: Square) -> _Room:
        """The part of puzzles first to first + num."""
        tokens = slice(first * square.num_tokens, (first + num) * square.num_tokens)
        return _Room(
            gate_up=self.gate_up[tokens],
            gated=self.gated[tokens],
            gate_scale=self.gate_scale[tokens],
            out_scale=self.out_scale[tokens],
            sums=[
                each[first * size : (first + num) * size] for each, size in zip(self.sums, square.line_tokens)
            ],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrays:
    """What `_infer` computes for N tokens: tensors, and the same memory as the kernels take it.

    sums, products: of all kinds of lines, one after another. wide_sums: fp32, sums itself where it is fp32.
    """

    gate_up: Tensor
    gated: Tensor
    mixed: Tensor
    sums: Tensor
    wide_sums: Tensor
    products: Tensor
    of_sums: tuple[Any, ...]
    of_products: tuple[Any, ...]
    of_gate: Any
    of_gated: Any
    of_mixed: Any
    of_scale: Any

    @classmethod
    def empty(cls, tokens: Tensor, inner: int, square: Square) -> _Arrays:
        num = len(tokens) // square.num_tokens * sum(square.line_tokens)
        gate_up, gated = tokens.new_empty(len(tokens), 2 * inner), tokens.new_empty(len(tokens), inner)
        mixed = torch.empty_like(tokens)
        sums, products = tokens.new_empty(num, tokens.shape[1]), tokens.new_empty(num, 2 * inner)
        wide_sums = sums.float()
        return cls(
            gate_up=gate_up,
            gated=gated,
            mixed=mixed,
            sums=sums,
            wide_sums=wide_sums,
            products=products,
            of_sums=square.arguments(square.parts(wide_sums)),
            of_products=square.arguments(square.parts(products)),
            of_gate=_array(gate_up),
            of_gated=_array(gated),
            of_mixed=_array(mixed),
            of_scale=np.empty(len(tokens), np.float32),
        )


class _Work:
    """Numbers that this process computed by torch, without gradients."""

    num_computed = 0


def is_for_kernels(x: Tensor, *weights: Tensor) -> bool:
    """Whether `mix` takes x and weights: on a CPU, in fp32 or, without gradients, bf16, not under
    torch.compile, numba installed, and loading it pays: it is loaded, gradients are computed, or much was
    computed without.
    """
    if torch.compiler.is_compiling() or x.shape[1] < _LEAST_TOKENS:
        return False
    is_learning = _is_learning(x, *weights)
    dtypes = (torch.float32,) if is_learning else (torch.float32, torch.bfloat16)
    if x.dtype not in dtypes or not all(each.is_cpu and each.dtype == x.dtype for each in (x, *weights)):
        return False
    if not is_learning and "sage.hrm_core.model.line_kernel" not in sys.modules:
        _Work.num_computed += x.numel()
        if _Work.num_computed <= _WORTH_LOADING:
            return False
    return has_compiler()


def load_loops(x: Tensor) -> bool:
    """Load the loops for x without gradients, so that `is_for_kernels` takes them whatever was computed
    before. False where they do not take it.
    """
    takes = x.is_cpu and x.dtype in (torch.float32, torch.bfloat16) and x.shape[1] >= _LEAST_TOKENS
    if not takes or not has_compiler():
        return False
    _kernels_of(x.dtype)
    return True


def _is_learning(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(each.requires_grad for each in tensors)


def mix(x: Tensor, up: Tensor, down: Tensor, square: Square, eps: float) -> Tensor:
    """The block (B, S, D) of x (B, S, D), up (2 F, D (1 + kinds of lines)), down (D, F)."""
    if _is_learning(x, up, down):
        out: Tensor = _Mix.apply(x, up, down, square, eps)  # type: ignore[no-untyped-call]
        return out
    return _infer(x.detach().contiguous(), up.detach(), down.detach(), square, eps)


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, up: Tensor, down: Tensor, square: Square, eps: float) -> Tensor:
        x, out = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
        room = _Room.empty(x, len(x), down.shape[1], square)
        num = square.num_together
        with _fast_products():
            for first in range(0, len(x), num):
                some = x[first : first + num]
                part = room.of(first, len(some), square)
                _forward(some, up, down, part, out[first : first + num], square, eps)
        ctx.save_for_backward(x, up, down, out)
        ctx.room, ctx.square = room, square
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, do: Tensor) -> tuple[Tensor | None, ...]:
        x, up, down, out = ctx.saved_tensors
        square: Square = ctx.square
        dx, d_up, d_down = torch.empty_like(x), torch.zeros_like(up), torch.zeros_like(down)
        num, do = square.num_together, do.contiguous()
        with _fast_products():
            for first in range(0, len(x), num):
                some = slice(first, first + num)
                room = ctx.room.of(first, len(x[some]), square)
                _backward(do[some], x[some], out[some], up, down, room, (dx[some], d_up, d_down), square)
        return dx, d_up, d_down, None, None


@contextmanager
def _fast_products() -> Iterator[None]:
    """Products of fp32 as they are inside, where float32_matmul_precision permits bf16 and the processor has
    no AMX: oneDNN's rounding to bf16 costs more than it saves on one puzzle (a step in 0.85x the time).
    """
    before = torch.get_float32_matmul_precision()
    if before == "highest" or has_amx():
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _forward(
    x: Tensor, up: Tensor, down: Tensor, room: _Room, out: Tensor, square: Square, eps: float
) -> None:
    """Fills out and room."""
    lines, norms = _kernels()
    tokens, own = x.view(-1, x.shape[-1]), square.split(up)
    lines.sum_lines(square.cells(tokens), *square.arguments(room.sums))
    torch.mm(tokens, own[0].t(), out=room.gate_up)
    products = [torch.mm(line, weight.t()) for line, weight in zip(room.sums, own[1:])]
    lines.gate_lines(
        room.gate_up.numpy(), *square.arguments(products), eps, room.gated.numpy(), room.gate_scale.numpy()
    )
    mixed = torch.mm(room.gated, down.t())
    norms.norm(tokens.numpy(), mixed.numpy(), eps, out.view(tokens.shape).numpy(), room.out_scale.numpy())


def _infer(x: Tensor, up: Tensor, down: Tensor, square: Square, eps: float) -> Tensor:
    """`mix` without gradients, in fp32 or bf16: all puzzles in the same arrays, one after another."""
    lines, gates, norms = _kernels_of(x.dtype)
    tokens, out = x.view(-1, x.shape[-1]), torch.empty_like(x)
    cells, rows, out_rows = square.cells(tokens), _array(tokens), _array(out.view(tokens.shape))
    own, *others = (weight.t().contiguous() for weight in square.split(up))
    weights, down = torch.stack(others), down.t()
    step, arrays = square.num_together * square.num_tokens, None
    for first in range(0, len(tokens), step):
        some = tokens[first : first + step]
        if arrays is None or len(arrays.gate_up) != len(
            some
        ):  # the first and, where fewer are left, the last
            arrays = _Arrays.empty(some, down.shape[0], square)
        here = slice(first, first + len(some))
        lines.sum_lines(cells[first // square.symbols : here.stop // square.symbols], *arrays.of_sums)
        torch.mm(some, own, out=arrays.gate_up)
        if arrays.sums is not arrays.wide_sums:
            arrays.sums.copy_(arrays.wide_sums)
        _multiply(arrays.sums, weights, arrays.products, square)
        gates.gate_lines(arrays.of_gate, *arrays.of_products, eps, arrays.of_gated, arrays.of_scale)
        torch.mm(arrays.gated, down, out=arrays.mixed)
        norms.norm(rows[here], arrays.of_mixed, eps, out_rows[here], arrays.of_scale)
    return out


def _multiply(lines: Tensor, weights: Tensor, products: Tensor, square: Square) -> None:
    """products (T of all kinds, 2 F) = each kind of line times its weights (4, D, 2 F)."""
    if square.is_even:
        torch.bmm(lines.unflatten(0, (4, -1)), weights, out=products.unflatten(0, (4, -1)))
        return
    for line, weight, product in zip(square.parts(lines), weights, square.parts(products)):
        torch.mm(line, weight, out=product)


def _backward(
    do: Tensor, x: Tensor, out: Tensor, up: Tensor, down: Tensor, room: _Room, gradients: tuple[Tensor, ...],
    square: Square,
) -> None:  # fmt: skip
    """Fills dx and adds to d_up and d_down."""
    lines, norms = _kernels()
    dx, d_up, d_down = gradients
    tokens = x.view(-1, x.shape[-1])
    own, d_own = square.split(up), square.split(d_up)
    d_sum = torch.empty_like(tokens)
    norms.norm_back(
        do.view(tokens.shape).numpy(), out.view(tokens.shape).numpy(), room.out_scale.numpy(), d_sum.numpy()
    )
    d_down.addmm_(d_sum.t(), room.gated)
    d_gate_up = torch.empty_like(room.gate_up)
    norms.gate_back(
        torch.mm(d_sum, down).numpy(), room.gate_up.numpy(), room.gate_scale.numpy(), d_gate_up.numpy()
    )
    d_own[0].addmm_(d_gate_up.t(), tokens)
    d_tokens = torch.addmm(d_sum, d_gate_up, own[0], out=dx.view(tokens.shape))
    d_lines = square.room(x, len(x), up.shape[0])
    lines.sum_lines(square.cells(d_gate_up), *square.arguments(d_lines))  # / sqrt(length)
    for line, d_line, d_weight, length in zip(room.sums, d_lines, d_own[1:], square.lengths):
        d_weight.addmm_(d_line.t(), line, alpha=math.sqrt(length))
    d_parts = [torch.mm(d_line, weight) for d_line, weight in zip(d_lines, own[1:])]
    lines.add_lines(square.cells(d_tokens), *square.arguments(d_parts))


def _kernels_of(dtype: torch.dtype) -> tuple[ModuleType, ModuleType, ModuleType]:
    """The modules of sum_lines, gate_lines and norm."""
    lines, norms = _kernels()
    if dtype == torch.float32:
        return lines, lines, norms
    from sage.hrm_core.model import bf16_kernel

    return lines, bf16_kernel, bf16_kernel


def _array(values: Tensor) -> Any:
    """A numpy array on the same memory; of bf16, its bits as uint16."""
    return values.view(torch.uint16).numpy() if values.dtype == torch.bfloat16 else values.numpy()


def _kernels() -> tuple[ModuleType, ModuleType]:
    """Imported where they are first needed: a process that only infers a little loads no compiler."""
    from sage.hrm_core.model import line_kernel, norm_kernel

    return line_kernel, norm_kernel
