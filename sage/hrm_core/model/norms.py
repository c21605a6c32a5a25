"""RMS norm, and the gate built on it, with their gradients written out for a CPU.

Invariant: forward and gradients are those of the formulas, whether autograd composes them, torch computes
them as they are written out here, or compiled loops do (fp32, numba at hand: small model, sudoku 9x9, batch
32, one thread, a training step in 0.65x the time).
Shapes: (..., F), the norm over F.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sage.compiled import has_compiler


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last axis, in fp32 (fp64 stays), back in x's dtype."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return F.rms_norm(wide, x.shape[-1:], eps=eps).type_as(x)


def add_norm(a: Tensor, b: Tensor, eps: float, *, may_round: bool = True) -> Tensor:
    """rms_norm(a + b) of two of one shape; without may_round to the bit, with or without a graph."""
    if may_round and a.dtype == b.dtype and _is_for_kernels(a, b):
        out: Tensor = _AddNorm.apply(a, b, eps)[0]  # type: ignore[no-untyped-call]
        return out
    return rms_norm(a + b, eps)


def normed_gate(gate_up: Tensor, eps: float) -> Tensor:
    """sigmoid(g) * rms(g * u) of cat(g, u) (..., 2 F): (..., F), in fp32 (fp64 stays), back in the dtype."""
    wide = gate_up.to(torch.promote_types(gate_up.dtype, torch.float32))
    if _is_for_kernels(wide):
        out: Tensor = _CompiledGate.apply(wide, eps)[0]  # type: ignore[no-untyped-call]
    elif _is_written_out(wide):
        out = _NormedGate.apply(wide, eps)[0]  # type: ignore[no-untyped-call]
    elif _is_bare(wide):
        out = _gated_in_place(wide, eps)
    else:
        out = _gated(wide, eps)[0]
    return out.type_as(gate_up)


def _is_written_out(*tensors: Tensor) -> bool:
    """On a CPU, to be differentiated; torch.compile fuses by itself."""
    is_learning = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return is_learning and not torch.compiler.is_compiling() and all(tensor.is_cpu for tensor in tensors)


def _is_bare(x: Tensor) -> bool:
    """Whether x is on a CPU and no gradient is needed."""
    is_learning = torch.is_grad_enabled() and x.requires_grad
    return not is_learning and not torch.compiler.is_compiling() and x.is_cpu


def _is_for_kernels(*tensors: Tensor) -> bool:
    """So, of the one dtype the loops are compiled for."""
    return (
        _is_written_out(*tensors)
        and all(tensor.dtype == torch.float32 for tensor in tensors)
        and has_compiler()
    )


def _kernels() -> ModuleType:
    """Imported where it is first needed: who does not train on a CPU waits for no compiler."""
    from sage.hrm_core.model import norm_kernel

    return norm_kernel


def _rows(x: Tensor) -> Any:
    """As the kernels take it: a numpy array (N, F) on the same memory, laid out anew where it is not
    contiguous.
    """
    return x.detach().contiguous().view(-1, x.shape[-1]).numpy()


def _gated(gate_up: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """(out, sigmoid(g), r), where rms(p) = r p."""
    gate, up = gate_up.chunk(2, dim=-1)
    product = gate * up
    r = torch.rsqrt(product.square().mean(-1, keepdim=True) + eps)
    s = gate.sigmoid()
    return s * (product * r), s, r


def _gated_in_place(gate_up: Tensor, eps: float) -> Tensor:
    """`_gated` in the memory of its product, which is read once for its norm: small model, batch 64, 0.6x the
    time.
    """
    gate, up = gate_up.chunk(2, dim=-1)
    out = gate * up
    r = torch.linalg.vector_norm(out, dim=-1, keepdim=True).square_().div_(out.shape[-1]).add_(eps).rsqrt_()
    return out.mul_(gate.sigmoid()).mul_(r)


class _NormedGate(torch.autograd.Function):
    """out = s y, s = sigmoid(g), y = r p, p = g u.

    dp = r (do s - y mean(do out)); dg = dp u + do out (1 - s); du = dp g.
    """

    @staticmethod
    def forward(gate_up: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        return _gated(gate_up, eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        ctx.save_for_backward(inputs[0], *output)
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, do: Tensor | None, *_: None) -> tuple[Tensor | None, None]:
        if do is None:
            return None, None
        gate_up, out, s, r = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        d_gate_up = torch.empty_like(gate_up)
        d_gate, d_up = d_gate_up.chunk(2, dim=-1)
        do_out = do * out
        mean = do_out.mean(-1, keepdim=True)
        dp = torch.addcmul(do * s, gate * up, mean * r, value=-1.0).mul_(r)
        torch.mul(dp, gate, out=d_up)
        torch.addcmul(torch.addcmul(do_out, do_out, s, value=-1.0), dp, up, out=d_gate)
        return d_gate_up, None


class _CompiledGate(torch.autograd.Function):
    """_NormedGate by compiled loops: keeps r alone and takes the sigmoid again on the way back."""

    @staticmethod
    def forward(gate_up: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        out = gate_up.new_empty(*gate_up.shape[:-1], gate_up.shape[-1] // 2)
        r = gate_up.new_empty(out[..., 0].numel())  # (N,)
        _kernels().gate(_rows(gate_up), eps, _rows(out), r.numpy())
        return out, r

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(inputs[0], output[1])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, do: Tensor | None, *_: None) -> tuple[Tensor | None, None]:
        if do is None:
            return None, None
        gate_up, r = ctx.saved_tensors
        d_gate_up = torch.empty_like(gate_up, memory_format=torch.contiguous_format)
        _kernels().gate_back(_rows(do), _rows(gate_up), r.numpy(), _rows(d_gate_up))
        return d_gate_up, None


class _AddNorm(torch.autograd.Function):
    """out = r x, x = a + b; dx = r (do - out mean(do out)), a's and b's alike."""

    @staticmethod
    def forward(a: Tensor, b: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        out = torch.empty_like(a, memory_format=torch.contiguous_format)
        r = a.new_empty(out[..., 0].numel())  # (N,)
        _kernels().norm(_rows(a), _rows(b), eps, _rows(out), r.numpy())
        return out, r

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*output)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, do: Tensor | None, *_: None) -> tuple[Tensor | None, Tensor | None, None]:
        if do is None:
            return None, None, None
        out, r = ctx.saved_tensors
        dx = torch.empty_like(out)
        _kernels().norm_back(_rows(do), _rows(out), r.numpy(), _rows(dx))
        return dx, dx, None
