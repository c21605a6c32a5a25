"""Each optimizer equals its formula; all of them as one object."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.optim import adam_atan2
from sage.hrm_core.optim.adam_atan2 import AdamATan2
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.optim.ema import EMA
from sage.hrm_core.optim.muon import Muon, orthogonalise
from sage.hrm_core.optim.optimizers import Optimizers
from sage.hrm_core.optim.schedule import Schedule
from sage.hrm_core.optim.sign_sgd import SparseSignSGD


def _weights(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in shapes]


def _give_gradients(weights: list[nn.Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)


def _model(*, num_puzzle_ids: int = 0) -> HRM:
    front = TokenFront(
        vocab_size=5,
        seq_len=4,
        num_puzzle_ids=num_puzzle_ids,
        puzzle_emb_ndim=16 if num_puzzle_ids else 0,
        puzzle_tokens=1 if num_puzzle_ids else 0,
    )
    return HRM(ModelConfig.preset("tiny", front=front, hidden_size=16, mlp_multiple=16))


def test_adam_atan2_is_its_formula() -> None:
    weights = _weights((3, 4), (5,))
    expected = [weight.detach().clone() for weight in weights]
    means, squares = (
        [torch.zeros_like(weight) for weight in weights],
        [torch.zeros_like(weight) for weight in weights],
    )
    optimizer = AdamATan2(weights, lr=0.01, betas=(0.9, 0.95), weight_decay=0.3)
    for step in range(1, 6):
        _give_gradients(weights, step)
        for index, weight in enumerate(weights):
            gradient = weight.grad
            assert gradient is not None
            expected[index] *= 1 - 0.01 * 0.3
            means[index] = 0.9 * means[index] + 0.1 * gradient
            squares[index] = 0.95 * squares[index] + 0.05 * gradient**2
            ratio = torch.atan2(means[index], squares[index].sqrt() / math.sqrt(1 - 0.95**step))
            expected[index] -= 0.01 / (1 - 0.9**step) * ratio
        optimizer.step()
    for weight, value in zip(weights, expected):
        torch.testing.assert_close(weight.detach(), value, rtol=1e-13, atol=1e-14)


def test_many_weights_are_updated_in_parts_with_equal_results(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = ((3,), (40,), (2, 2), (5,), (1,))
    together, apart = _weights(*shapes), _weights(*shapes)
    for weights, most in ((together, 1 << 22), (apart, 8)):
        monkeypatch.setattr(adam_atan2, "MAX_AT_ONCE", most)
        optimizer = AdamATan2(weights, lr=0.1, weight_decay=0.1)
        for seed in range(3):
            _give_gradients(weights, seed)
            optimizer.step()
    for one, other in zip(together, apart):
        assert torch.equal(one, other)


def test_an_update_of_adam_atan2_does_not_depend_on_the_scale_of_gradients() -> None:
    moved = []
    for scale in (1e-12, 1.0, 1e12):
        (weight,) = _weights((4, 4))
        before = weight.detach().clone()
        weight.grad = torch.ones_like(weight) * scale
        AdamATan2([weight], lr=0.01).step()
        moved.append(before - weight.detach())
    for each in moved:  # 1 / (1 - b1) of atan2(1 - b1, 1), by the correction
        torch.testing.assert_close(each, torch.full_like(each, 0.01 / 0.1 * math.atan2(0.1, 1.0)))


def test_a_weight_without_a_gradient_is_unchanged() -> None:
    weights = _weights((2, 2), (2, 2))
    _give_gradients(weights[:1], 1)
    before = weights[1].detach().clone()
    AdamATan2(weights, lr=0.1, weight_decay=1.0).step()
    assert torch.equal(weights[1].detach(), before)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon of its own")
def test_muon_equals_torch_muon() -> None:
    ours, theirs = (_weights((24, 8), (24, 8), (8, 24), (6, 6), dtype=torch.float32) for _ in range(2))
    mine = Muon(ours, lr=0.02, momentum=0.9, weight_decay=0.1, dtype=torch.bfloat16)
    peer = torch.optim.Muon(
        theirs, lr=0.02, momentum=0.9, weight_decay=0.1, nesterov=True, adjust_lr_fn="match_rms_adamw"
    )
    for step in range(3):
        _give_gradients(ours, step)
        _give_gradients(theirs, step)
        mine.step()
        peer.step()
    for mine_weight, peer_weight in zip(
        ours, theirs
    ):  # bf16 in both: a product of a stack may round elsewhere
        torch.testing.assert_close(mine_weight.detach(), peer_weight.detach(), rtol=0, atol=4e-3)


def test_newton_schulz_makes_all_singular_values_nearly_equal() -> None:
    matrices = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.min() > 0.3
    assert values.max() < 1.4


def test_muon_refuses_a_weight_that_is_not_a_matrix() -> None:
    with pytest.raises(ValueError, match="give matrices only"):
        Muon(_weights((3,)))


def test_sign_sgd_updates_rows_of_the_batch_only_and_sums_gradients_of_equal_ids() -> None:
    table = torch.arange(12.0).reshape(4, 3).clone()
    optimizer = SparseSignSGD(table, lr=0.1, weight_decay=0.5)
    before = table.detach().clone()
    rows = nn.functional.embedding(torch.tensor([2, 0, 2]), table, sparse=True)
    (rows * torch.tensor([[1.0, 1, 1], [-1, 0, 2], [-3, 1, -1]])).sum().backward()  # row 2: -2, 2, 0 together
    optimizer.step()
    moved = table.detach()
    assert torch.equal(moved[[1, 3]], before[[1, 3]])
    torch.testing.assert_close(moved[0], before[0] * 0.95 - 0.1 * torch.tensor([-1.0, 0, 1]))
    torch.testing.assert_close(moved[2], before[2] * 0.95 - 0.1 * torch.tensor([-1.0, 1, 0]))


def test_unknown_puzzles_change_no_row() -> None:
    model = _model(num_puzzle_ids=3)
    with torch.no_grad():
        model.inner.puzzle_emb.weights.fill_(0.5)
    optimizers = Optimizers(model, OptimizerConfig(lr=0.1, warmup_steps=0), num_steps=10)
    batch = TokenBatch(
        inputs=torch.zeros(2, 4, dtype=torch.long),
        labels=torch.zeros(2, 4, dtype=torch.long),
        puzzle_ids=torch.tensor([-1, 1]),
    )
    _, output = model.segment(model.initial_carry(2), batch)
    assert output.logits is not None
    output.logits[..., 0].square().sum().backward()
    optimizers.step(1)
    weights = model.inner.puzzle_emb.weights.detach()
    assert torch.equal(weights[[0, 2]], torch.full((2, 16), 0.5))
    assert not torch.equal(weights[1], torch.full((16,), 0.5))


def test_the_average_follows_the_weights_and_training_does_not_read_it() -> None:
    model = nn.Linear(2, 2)
    ema = EMA(model, 0.9)
    first = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    ema.update()
    inside = model.weight.detach().clone()
    with ema.applied():
        torch.testing.assert_close(model.weight.detach(), first + 0.1)
    assert torch.equal(model.weight.detach(), inside)


def test_an_average_with_a_begin_step_starts_equal_to_the_weights() -> None:
    model = nn.Linear(2, 2)
    ema = EMA(model, 0.9, begin_step=2)
    with torch.no_grad():
        model.weight.add_(1.0)
    ema.update()
    assert torch.equal(ema.state()["weight"], model.weight)


def test_the_schedule_is_a_linear_warm_up_and_a_cosine() -> None:
    schedule = Schedule(num_steps=110, warmup_steps=10, min_ratio=0.1)
    assert schedule.ratio(5) == 0.5
    assert schedule.ratio(10) == 1.0
    assert schedule.ratio(60) == pytest.approx(0.55)
    assert schedule.ratio(110) == pytest.approx(0.1)
    assert Schedule(num_steps=110, warmup_steps=10).ratio(77) == 1.0


@pytest.mark.parametrize("kind", ["adam_atan2", "muon", "adamw"])
def test_every_weight_is_updated_and_a_restored_state_gives_equal_updates(kind: str) -> None:
    config = OptimizerConfig(kind=kind, lr=0.01, warmup_steps=0)  # type: ignore[arg-type]
    one, other = _model(), _model()
    first, second = Optimizers(one, config, num_steps=10), Optimizers(other, config, num_steps=10)
    before = {name: weight.detach().clone() for name, weight in one.named_parameters()}
    _give_gradients(list(one.parameters()), 1)
    first.step(1)
    assert not [name for name, weight in one.named_parameters() if torch.equal(weight.detach(), before[name])]

    other.load_state_dict(one.state_dict())
    second.load_state(*first.state())
    for model, optimizers in ((one, first), (other, second)):
        _give_gradients(list(model.parameters()), 2)
        optimizers.step(2)
    for mine, theirs in zip(one.parameters(), other.parameters()):
        assert torch.equal(mine.detach(), theirs.detach())


@pytest.mark.parametrize("kind", ["adam_atan2", "muon", "adamw"])
def test_a_restored_state_takes_the_settings_of_the_config_here(kind: str) -> None:
    settings = {"kind": kind, "lr": 0.01, "warmup_steps": 0}
    ends = []
    for decay in (0.1, 5.0):
        model = _model()
        first = Optimizers(model, OptimizerConfig(**settings), num_steps=10)  # type: ignore[arg-type]
        _give_gradients(list(model.parameters()), 1)
        first.step(1)
        config = OptimizerConfig(**settings, weight_decay=decay, betas=(0.5, 0.6))  # type: ignore[arg-type]
        second = Optimizers(model, config, num_steps=10)
        tensors, plain = first.state()
        second.load_state(tensors, json.loads(json.dumps(plain)))  # as a checkpoint holds it
        second.step(2)
        ends.append([weight.detach().clone() for weight in model.parameters()])
        for group in second.state()[1]:
            assert group["groups"][0].get("betas", (0.5, 0.6)) == (0.5, 0.6)
    assert not any(torch.equal(little, much) for little, much in zip(*ends))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": -1.0}, "lr is -1"),
        ({"kind": "sgd"}, "adam_atan2, muon, adamw"),
        ({"lr": 1e308}, r"optimizer.lr is 1e\+308: give a number from 0 to 1,000,000"),
        ({"rest_lr": 1e7}, "optimizer.rest_lr is 10000000.0: give"),
        ({"puzzle_lr": 1e7}, "optimizer.puzzle_lr is 10000000.0: give"),
        ({"weight_decay": 1e7}, "optimizer.weight_decay is 10000000.0: give"),
        ({"rest_weight_decay": 1e7}, "optimizer.rest_weight_decay is 10000000.0: give"),
        ({"puzzle_weight_decay": float("nan")}, "optimizer.puzzle_weight_decay is nan: give"),
        ({"warmup_steps": -1}, "optimizer.warmup_steps is -1: give"),
    ],
)
def test_a_wrong_setting_is_one_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**change)  # type: ignore[arg-type]


def test_weights_that_are_not_matrices_can_have_their_own_weight_decay() -> None:
    config = OptimizerConfig(
        kind="muon", lr=1e-2, weight_decay=0.5, rest_lr=1e-3, rest_weight_decay=2.0, warmup_steps=0
    )
    matrices, rest = Optimizers(_model(), config, num_steps=1)._dense
    assert [(group["lr"], group["weight_decay"]) for group in matrices.param_groups] == [(1e-2, 0.5)]
    assert [(group["lr"], group["weight_decay"]) for group in rest.param_groups] == [(1e-3, 2.0)]
    with pytest.raises(ValueError, match="rest_weight_decay is -1"):
        OptimizerConfig(rest_weight_decay=-1.0)
