"""The gate's written-out gradient is the formula's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage.hrm_core.norms import normed_gate, rms_norm

EPS = 1e-5


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def formula(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    product = gate * up
    return product / (product.square().mean(-1, keepdim=True) + EPS).sqrt() / (1 + torch.exp(-gate))


@pytest.mark.parametrize("needs_grad", [False, True])
def test_the_gate_is_its_formula_with_and_without_a_graph(needs_grad: bool) -> None:
    x = draw(2, 3, 8).requires_grad_(needs_grad)
    torch.testing.assert_close(normed_gate(x, EPS), formula(x), atol=1e-12, rtol=1e-12)


def test_its_gradient_is_the_slope() -> None:
    x = draw(3, 8).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: normed_gate(y, EPS), (x,))


def test_its_gradient_is_autograds() -> None:
    x, probe = draw(4, 5, 32).requires_grad_(), draw(4, 5, 16)
    (found,) = torch.autograd.grad((normed_gate(x, EPS) * probe).sum(), x)
    (expected,) = torch.autograd.grad((formula(x) * probe).sum(), x)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-10)


def test_a_zero_product_has_a_finite_gradient() -> None:
    x = torch.zeros(2, 8, requires_grad=True)
    normed_gate(x, EPS).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_half_precision_is_normed_in_fp32_and_returned_as_it_came() -> None:
    x = (draw(2, 64) * 200).bfloat16().requires_grad_()
    out = normed_gate(x, EPS)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, formula(x.float()).bfloat16(), atol=0.0, rtol=0.0)
    out.float().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


def test_it_compiles_whole() -> None:
    x = draw(2, 8).float().requires_grad_()
    compiled = torch.compile(normed_gate, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, EPS), normed_gate(x, EPS))


def test_rms_norm_of_zeros_is_zeros() -> None:
    assert torch.equal(rms_norm(torch.zeros(3, 4), EPS), torch.zeros(3, 4))
