"""Embedding and reading: lengths, real inputs, text, and the forms that answer fast."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sage.hrm_core.config.model import ContinuousFront, Front, ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.model.losses import regression_loss

CELLS = TokenFront(vocab_size=7, seq_len=6)


def build(front: Front = CELLS, **changes: object) -> HRM:
    settings = {"hidden_size": 16, "num_heads": 2, "mlp_multiple": 16, **changes}
    model = HRM(
        ModelConfig.preset("loop", front=front, **settings), generator=torch.Generator().manual_seed(2)
    ).eval()
    with torch.no_grad():  # it starts at 0 and says nothing
        model.inner.q_head.weight.normal_(generator=torch.Generator().manual_seed(8))
    return model


def cells(num_cells: int = 6, num_rows: int = 3, seed: int = 0) -> TokenBatch:
    inputs = torch.randint(0, 7, (num_rows, num_cells), generator=torch.Generator().manual_seed(seed))
    return TokenBatch(inputs=inputs, labels=inputs, puzzle_ids=torch.full((num_rows,), -1))


def answer(model: HRM, batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """Logits and q_halt after one segment."""
    _, output = model(model.initial_state(batch), batch)
    assert output.logits is not None
    assert output.q_halt is not None
    return output.logits, output.q_halt


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_a_shorter_row_is_welcome_under_attention(positions: str) -> None:
    model = build(TokenFront(vocab_size=7, seq_len=6, positions=positions))  # type: ignore[arg-type]
    logits, _ = answer(model, cells(4))
    assert logits.shape == (3, 4, 7)


@pytest.mark.parametrize(
    ("mixer", "num_cells", "told"), [("attention", 7, "at most 6"), ("mlp", 4, "takes 6")]
)
def test_a_row_of_the_wrong_length_is_one_line(mixer: str, num_cells: int, told: str) -> None:
    model = build(mixer=mixer)
    with pytest.raises(ValueError, match=told):
        answer(model, cells(num_cells))


def test_text_never_looks_ahead_and_is_judged_by_its_last_token() -> None:
    model, batch = build(is_causal=True), cells()
    changed = batch.inputs.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % 7
    logits, q_halt = answer(model, batch)
    other, other_q = answer(model, TokenBatch(inputs=changed, labels=changed, puzzle_ids=batch.puzzle_ids))
    torch.testing.assert_close(other[:, :4], logits[:, :4])
    assert not torch.allclose(other[:, 4:], logits[:, 4:])
    assert not torch.allclose(other_q, q_halt)


def test_real_inputs_enter_at_variance_one() -> None:
    front = ContinuousFront(input_dim=5, output_dim=2, seq_len=40, positions="learned")
    model = build(front, hidden_size=256)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(16, 40, 5, generator=generator)
    batch = TokenBatch(inputs=inputs, labels=torch.zeros(16, 40, 2), puzzle_ids=torch.full((16,), -1))
    assert float(model.inner.embed(batch).detach().std()) == pytest.approx(1.0, abs=0.1)


def test_real_inputs_survive_the_mixing_of_rows() -> None:
    front = ContinuousFront(input_dim=2, output_dim=2, seq_len=4)
    one, other = (
        TokenBatch(
            inputs=torch.full((2, 4, 2), x),
            labels=torch.full((2, 4), int(x)),
            puzzle_ids=torch.full((2,), int(x)),
        )
        for x in (1.0, 2.0)
    )
    mixed = one.where(torch.tensor([True, False]), other)
    assert mixed.inputs[:, 0, 0].tolist() == [1.0, 2.0]
    assert build(front).inner.embed(mixed).shape == (2, 4, 16)


def test_fp64_is_kept_from_input_to_heads() -> None:
    model, batch = build().double(), cells()
    logits, q_halt = answer(model, batch)
    assert (logits.dtype, q_halt.dtype) == (torch.float64, torch.float64)


def test_the_form_for_inference_is_bf16_but_for_what_decides() -> None:
    model, batch = build(hidden_size=64), cells()
    fast = model.to_inference(torch.bfloat16)
    assert fast.inner.L_level.layers[0].mlp.down_proj.weight.dtype == torch.bfloat16
    assert fast.inner.q_head.weight.dtype == torch.float32
    assert fast.inner.rope is not None
    assert fast.inner.rope.dtype == torch.float32
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    assert model.inner.L_level.layers[0].mlp.down_proj.weight.dtype == torch.float32
    logits, q_halt = answer(fast, batch)
    expected, expected_q = answer(model, batch)
    assert q_halt.dtype == torch.float32
    torch.testing.assert_close(logits.float(), expected, atol=0.1, rtol=0.1)
    torch.testing.assert_close(q_halt, expected_q, atol=0.2, rtol=0.1)


def test_computing_in_bf16_leaves_the_weights_in_fp32_and_trains_them() -> None:
    model, batch = build(), cells()
    model.inner.compute_in(torch.bfloat16)
    logits, q_halt = answer(model, batch)
    assert logits.dtype == torch.bfloat16
    (logits.float().square().mean() + q_halt.sum()).backward()
    gradient = model.inner.L_level.layers[0].mlp.down_proj.weight.grad
    assert gradient is not None
    assert gradient.dtype == torch.float32
    assert math.isfinite(float(gradient.sum()))


def test_a_compiled_model_keeps_its_names_and_its_answers() -> None:
    model, batch = build(), cells()
    names, (expected, _) = list(model.state_dict()), answer(model, batch)
    model.compile_blocks(backend="eager", fullgraph=True)
    assert list(model.state_dict()) == names
    torch.testing.assert_close(answer(model, batch)[0], expected)


def test_attention_can_be_asked_for_by_name() -> None:
    model, batch = build(), cells()
    expected, _ = answer(model, batch)
    model.use_attention("eager")
    torch.testing.assert_close(answer(model, batch)[0], expected, atol=1e-5, rtol=1e-5)


def test_a_sequence_of_numbers_is_learned() -> None:
    """The running mean of a noisy signal: every number depends on those before it."""
    model = HRM(input_dim=1, h_dim=16, l_dim=8, output_dim=1, num_layers=1).train()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        inputs = torch.randn(16, 8, 1, generator=generator)
        targets = inputs.cumsum(1) / torch.arange(1, 9)[:, None]
        batch = TokenBatch(inputs=inputs, labels=targets, puzzle_ids=torch.full((16,), -1))
        _, output = model.segment(model.initial_carry(16, num_tokens=8), batch)
        loss = regression_loss(output, targets, tolerance=0.1)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append(float(loss.cross_entropy.detach()))
    assert sum(losses[-5:]) < 0.25 * sum(losses[:5])
