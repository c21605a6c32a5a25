"""The cycles and their gradients, against the equations written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sage.hrm_core.config.model import GradientKind, ModelConfig, TokenFront
from sage.hrm_core.model.perturbation import Perturbation
from sage.hrm_core.model.recurrence import Carry, Recurrence

FRONT = TokenFront(vocab_size=7, seq_len=5)


def build(
    gradient: GradientKind | int = "one_step",
    *,
    shares_nets: bool = False,
    H_cycles: int = 2,
    L_cycles: int = 3,
    damping: float = 0.0,
) -> Recurrence:
    config = ModelConfig.preset(
        "loop", front=FRONT, hidden_size=16, mlp_multiple=16, gradient=gradient, shares_nets=shares_nets,
        H_cycles=H_cycles, L_cycles=L_cycles, damping=damping,
    )  # fmt: skip
    recurrence = Recurrence(config)
    recurrence.init_recurrence(torch.Generator().manual_seed(5))
    return recurrence


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shares_nets", [False, True])
def test_a_segment_is_the_papers_nested_loop(shares_nets: bool) -> None:
    model, x = build(shares_nets=shares_nets), draw(2, 5, 16)
    f_L = model.L_level
    f_H = f_L if shares_nets else model.H_level
    carry = model.initial_carry(2)
    z_H, z_L = carry.z_H, carry.z_L
    for _ in range(2):
        for _ in range(3):
            z_L = f_L(z_L, z_H + x, None)
        z_H = f_H(z_H, z_L, None)
    result = model.refine(carry, x)
    torch.testing.assert_close(result.z_H, z_H, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(result.z_L, z_L, atol=1e-5, rtol=1e-5)


def truncated(model: Recurrence, carry: Carry, x: Tensor, num_free_calls: int) -> Tensor:
    """z_H of the segment with its first calls cut off by hand."""
    z_H, z_L, call = carry.z_H, carry.z_L, 0
    for _ in range(2):
        for _ in range(3):
            z_L = model.L_level(z_L, z_H + x, None)
            call += 1
            if call <= num_free_calls:
                z_L = z_L.detach()
        z_H = model.H_level(z_H, z_L, None)
        if call <= num_free_calls:
            z_H = z_H.detach()
    return z_H


@pytest.mark.parametrize(
    ("gradient", "num_free_calls"), [("one_step", 5), ("last_cycle", 3), ("full", 0), (2, 4), (6, 0)]
)
def test_the_gradient_is_that_of_the_truncated_graph(
    gradient: GradientKind | int, num_free_calls: int
) -> None:
    model, probe = build(gradient), draw(2, 5, 16)
    x = draw(2, 5, 16).requires_grad_()
    inputs = [x, *model.parameters()]
    expected = torch.autograd.grad(
        (truncated(model, model.initial_carry(2), x, num_free_calls) * probe).sum(), inputs
    )
    found = torch.autograd.grad((model.refine(model.initial_carry(2), x).z_H * probe).sum(), inputs)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_the_three_gradients_differ_but_not_the_forward() -> None:
    x = draw(1, 5, 16)
    results, gradients = [], []
    for gradient in ("one_step", "last_cycle", "full"):
        model = build(gradient)  # type: ignore[arg-type]
        z_H = model.refine(model.initial_carry(1), x).z_H
        results.append(z_H.detach())
        (z_H * draw(1, 5, 16)).sum().backward()
        gradients.append(model.L_level.layers[0].mlp.down_proj.weight.grad)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    assert not torch.allclose(gradients[0], gradients[1])
    assert not torch.allclose(gradients[1], gradients[2])


def test_shared_nets_are_stored_once() -> None:
    assert not any(name.startswith("H_level") for name in build(shares_nets=True).state_dict())
    assert any(build().is_strategic(name) for name in build().state_dict())
    assert not any(
        build(shares_nets=True).is_strategic(name) for name, _ in build(shares_nets=True).named_parameters()
    )


def test_reset_rows_start_afresh_and_the_others_go_on() -> None:
    model = build()
    carry = Carry(z_H=draw(3, 5, 16), z_L=draw(3, 5, 16))
    result = model.reset_rows(carry, torch.tensor([True, False, True]))
    fresh = model.initial_carry(1)
    assert torch.equal(result.z_H[0], fresh.z_H[0])
    assert torch.equal(result.z_L[2], fresh.z_L[0])
    assert torch.equal(result.z_H[1], carry.z_H[1])


def test_the_start_survives_a_trip_through_bf16() -> None:
    model = build()
    assert torch.equal(model.H_init, model.H_init.bfloat16().float())
    assert not torch.equal(model.H_init, model.L_init)


def test_nets_of_two_widths_are_joined_by_bridges() -> None:
    config = ModelConfig.preset("loop", front=FRONT, hidden_size=16, L_hidden_size=8, mlp_multiple=16)
    model, x = Recurrence(config), draw(2, 5, 16)
    model.init_recurrence(torch.Generator().manual_seed(5))
    carry = model.initial_carry(2)
    z_H, z_L = carry.z_H, carry.z_L
    assert (z_H.shape, z_L.shape) == ((2, 5, 16), (2, 5, 8))
    for _ in range(2):
        for _ in range(2):
            z_L = model.L_level(z_L, (z_H + x) @ model.H_to_L.weight.T, None)
        z_H = model.H_level(z_H, z_L @ model.L_to_H.weight.T, None)
    torch.testing.assert_close(model.refine(carry, x).z_H, z_H, atol=1e-5, rtol=1e-5)


def test_nets_of_one_width_have_no_bridges() -> None:
    assert not any("_to_" in name for name in build().state_dict())


def test_a_damped_update_keeps_a_share_of_the_old_state() -> None:
    model, x = build(damping=0.25, H_cycles=1, L_cycles=2), draw(2, 5, 16)
    z_H, z_L = draw(2, 5, 16), -draw(2, 5, 16)
    result = model.refine(Carry(z_H=z_H, z_L=z_L), x)
    for _ in range(2):
        z_L = 0.25 * z_L + 0.75 * model.L_level(z_L, z_H + x, None)
    z_H = 0.25 * z_H + 0.75 * model.H_level(z_H, z_L, None)
    torch.testing.assert_close(result.z_H, z_H, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(result.z_L, z_L, atol=1e-5, rtol=1e-5)


def perturbation(*, start_std: float = 0.0, noise_std: float = 0.0, seed: int = 3) -> Perturbation:
    return Perturbation(
        start_std=start_std, noise_std=noise_std, generator=torch.Generator().manual_seed(seed)
    )


def test_random_starts_differ_by_row_and_token_and_repeat_with_the_generator() -> None:
    model = build()
    carry, is_reset = model.initial_carry(64), torch.arange(64) % 2 == 0
    first, again = (model.reset_rows(carry, is_reset, perturbation(start_std=2.0)) for _ in range(2))
    assert torch.equal(first.z_H, again.z_H)
    assert torch.equal(first.z_H[1::2], carry.z_H[1::2])
    drawn = torch.cat((first.z_H[::2], first.z_L[::2]))
    assert drawn.std().item() == pytest.approx(2.0, rel=0.05)
    assert len(drawn.flatten().unique()) > 0.99 * drawn.numel()


def test_without_random_starts_a_perturbation_leaves_the_start() -> None:
    model = build()
    reset = model.reset_rows(
        Carry(z_H=draw(2, 5, 16), z_L=draw(2, 5, 16)), torch.ones(2, dtype=torch.bool), perturbation()
    )
    assert torch.equal(reset.z_H, model.initial_carry(2).z_H)


def test_noise_moves_the_state_by_about_its_size() -> None:
    model, x, carry = build(H_cycles=1, L_cycles=1), draw(64, 5, 16), build().initial_carry(64)
    plain, quiet = model.refine(carry, x), model.refine(carry, x, None, perturbation())
    assert torch.equal(plain.z_L, quiet.z_L)
    noisy = model.refine(carry, x, None, perturbation(noise_std=0.05))
    assert (noisy.z_L - plain.z_L).std().item() == pytest.approx(0.05, rel=0.1)
    assert torch.equal(noisy.z_H, model.refine(carry, x, None, perturbation(noise_std=0.05)).z_H)
