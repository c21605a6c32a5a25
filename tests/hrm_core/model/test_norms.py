"""Norm and gate are their formulas, and so are their gradients, in fp64 by torch and in fp32 by compiled
loops.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage.hrm_core.model import norms
from sage.hrm_core.model.norms import add_norm, normed_gate, rms_norm

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
    torch.testing.assert_close(
        out, formula(x.float()).bfloat16(), atol=1e-6, rtol=2**-7
    )  # a rounding of bf16 apart
    out.float().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


def test_it_compiles_whole() -> None:
    x = draw(2, 8).float().requires_grad_()
    compiled = torch.compile(normed_gate, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, EPS), normed_gate(x, EPS))


def test_rms_norm_of_zeros_is_zeros() -> None:
    assert torch.equal(rms_norm(torch.zeros(3, 4), EPS), torch.zeros(3, 4))


@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0])
@pytest.mark.parametrize("shape", [(1, 2), (7, 5, 26), (3, 512)])
def test_in_fp32_gate_and_gradient_are_those_of_fp64(shape: tuple[int, ...], scale: float) -> None:
    wide = (draw(*shape) * scale).requires_grad_()
    narrow = wide.detach().float().requires_grad_()
    expected, found = formula(wide), normed_gate(narrow, EPS)
    torch.testing.assert_close(found.double(), expected, atol=2e-6, rtol=2e-6)
    probe = draw(*expected.shape)
    (d_expected,) = torch.autograd.grad((expected * probe).sum(), wide)
    (d_found,) = torch.autograd.grad((found * probe.float()).sum(), narrow)
    torch.testing.assert_close(
        d_found.double(), d_expected, atol=1e-6 + 2e-5 * float(d_expected.abs().max()), rtol=1e-5
    )


def test_the_norm_of_a_sum_and_its_gradients_are_autograds() -> None:
    a, b, probe = (draw(6, 3, 10), draw(6, 3, 10).roll(1, 0), draw(6, 3, 10).roll(2, 0))
    wide = [each.clone().requires_grad_() for each in (a, b)]
    narrow = [each.float().requires_grad_() for each in (a, b)]
    expected, found = rms_norm(wide[0] + wide[1], EPS), add_norm(*narrow, EPS)
    torch.testing.assert_close(found.double(), expected, atol=2e-6, rtol=2e-6)
    slopes = torch.autograd.grad((expected * probe).sum(), wide)
    for d_found, d_expected in zip(torch.autograd.grad((found * probe.float()).sum(), narrow), slopes):
        torch.testing.assert_close(d_found.double(), d_expected, atol=1e-5, rtol=1e-5)


def test_what_comes_in_slices_is_read_right() -> None:
    whole = draw(4, 6, 8).float()
    expected = normed_gate(whole.transpose(0, 1).contiguous().requires_grad_(), EPS)
    assert torch.equal(normed_gate(whole.clone().requires_grad_().transpose(0, 1), EPS), expected)


def test_without_a_compiler_training_is_the_same_to_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    x = draw(5, 12).float().requires_grad_()
    with_loops = torch.autograd.grad(add_norm(normed_gate(x, EPS), x[:, :6], EPS).square().sum() + x.sum(), x)
    monkeypatch.setattr(norms, "has_compiler", lambda: False)
    without = torch.autograd.grad(add_norm(normed_gate(x, EPS), x[:, :6], EPS).square().sum() + x.sum(), x)
    torch.testing.assert_close(with_loops, without, atol=1e-5, rtol=1e-5)
