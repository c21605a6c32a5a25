"""The compiled block of mixer `lines` is the block by torch's operations, forward and backward, to fp32's
rounding.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from sage.compiled import has_compiler
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model import lines
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model.layers import LinesBlock
from sage.hrm_core.model.norms import rms_norm
from sage.hrm_core.training.learner import matmul_precision

pytestmark = pytest.mark.skipif(not has_compiler(), reason="numba is not installed")

SHAPES: dict[str, dict[str, Any]] = {
    "9x9 with boxes and digits": {
        "front": TokenFront(vocab_size=11, seq_len=81, alike_from=2),
        "box": (3, 3),
    },
    "6x6, boxes of two rows": {"front": TokenFront(vocab_size=8, seq_len=36, alike_from=2), "box": (2, 3)},
    "no boxes": {"front": TokenFront(vocab_size=8, seq_len=36, alike_from=2), "box": None},
    "one token a cell": {"front": TokenFront(vocab_size=5, seq_len=144), "box": (4, 3)},
    "rows and columns alone": {"front": TokenFront(vocab_size=5, seq_len=144), "box": None},
    "more symbols than cells in a line": {
        "front": TokenFront(vocab_size=21, seq_len=16, alike_from=2),
        "box": (2, 2),
    },
}


@pytest.fixture(params=SHAPES)
def block(request: pytest.FixtureRequest) -> LinesBlock:
    sizes = {"mixer": "lines", "hidden_size": 10, "num_heads": 1, "mlp_multiple": 6, "q_source": "mean"}
    config = ModelConfig.preset("tiny", **{**sizes, **SHAPES[request.param]})
    block, generator = LinesBlock(config, 10), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in block.parameters():
            weight.normal_(std=weight.shape[1] ** -0.5, generator=generator)
    return block


def draw(block: LinesBlock, num_puzzles: int, *, seed: int = 0) -> Tensor:
    return torch.randn(
        num_puzzles, block.square.num_tokens, 10, generator=torch.Generator().manual_seed(seed)
    )


def by_torch(block: LinesBlock, x: Tensor) -> Tensor:
    block.may_use_kernels = False
    out = block(x, None)
    block.may_use_kernels = True
    return out


@pytest.mark.parametrize("num_puzzles", [1, 9])  # 9: more than are computed together
def test_forward_and_gradients_are_those_of_torch(block: LinesBlock, num_puzzles: int) -> None:
    x, probe = draw(block, num_puzzles).requires_grad_(), draw(block, num_puzzles, seed=1)
    assert lines.is_for_kernels(x, *block.parameters())
    expected, found = by_torch(block, x), block(x, None)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=2e-5)
    of = [x, *block.parameters()]
    for d_found, d_expected in zip(
        torch.autograd.grad((found * probe).sum(), of), torch.autograd.grad((expected * probe).sum(), of)
    ):
        size = float(d_expected.abs().max())
        torch.testing.assert_close(d_found, d_expected, atol=1e-5 * size, rtol=1e-4)


def test_without_gradients_it_is_the_same(block: LinesBlock) -> None:
    x = draw(block, 5)
    with_gradients = block(x.clone().requires_grad_(), None).detach()
    with torch.inference_mode():
        assert lines.is_for_kernels(x, *block.parameters())  # loaded above
        torch.testing.assert_close(block(x, None), with_gradients)
        torch.testing.assert_close(block(x, None), by_torch(block, x), atol=2e-6, rtol=2e-5)
        assert block(x[:0], None).shape == (0, *x.shape[1:])


@pytest.mark.parametrize("has_amx", [False, True])
def test_precision_medium_rounds_only_where_there_is_amx_and_stays_set(
    block: LinesBlock, has_amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "has_amx", lambda: has_amx)
    seen = []
    forward = lines._forward
    monkeypatch.setattr(
        lines, "_forward", lambda *given: (seen.append(torch.get_float32_matmul_precision()), forward(*given))
    )
    with matmul_precision("medium"):
        block(draw(block, 1).requires_grad_(), None)
        assert torch.get_float32_matmul_precision() == "medium"
    assert seen == ["medium" if has_amx else "highest"]


@pytest.mark.parametrize("num_puzzles", [1, 9])
def test_in_bf16_it_is_as_near_to_fp32_as_torch_is(block: LinesBlock, num_puzzles: int) -> None:
    x = draw(block, num_puzzles).bfloat16()
    with torch.inference_mode():
        block.bfloat16()
        assert lines.is_for_kernels(x, *block.parameters())
        found, by_operations = block(x, None).float(), by_torch(block, x).float()
        exact = block.float()(x.float(), None)
    error, error_of_torch = (found - exact).abs(), (by_operations - exact).abs()
    assert error.max() < 0.06
    assert error.mean() < 1.2 * error_of_torch.mean()


def test_bf16_is_rounded_to_the_nearest_and_nan_stays() -> None:
    from sage.hrm_core.model import bf16_kernel

    generator = torch.Generator().manual_seed(0)
    values = torch.randn(64, 16, generator=generator).bfloat16()
    values[5, 3], values[9, 2] = math.nan, math.inf
    zeros, out = torch.zeros_like(values), torch.empty_like(values)
    arrays = [each.view(torch.uint16).numpy() for each in (values, zeros, out)]
    bf16_kernel.norm(arrays[0], arrays[1], 1e-5, arrays[2], torch.empty(64).numpy())
    finite = values.isfinite().all(-1)
    assert torch.equal(out[5].isnan(), torch.ones(16, dtype=torch.bool))
    assert out[9, 2].isnan()
    wide = rms_norm(values[finite].float(), 1e-5)
    torch.testing.assert_close(out[finite].float(), wide, atol=0.0, rtol=2**-8)  # half a step of bf16


def test_gradients_in_bf16_are_left_to_torch(block: LinesBlock) -> None:
    assert not lines.is_for_kernels(draw(block, 1).bfloat16().requires_grad_())


def test_a_view_is_read_right(block: LinesBlock) -> None:
    x = draw(block, 4)
    apart = x.transpose(1, 2).contiguous().transpose(1, 2)
    assert not apart.is_contiguous()
    torch.testing.assert_close(
        block(apart.requires_grad_(), None), block(x.clone().requires_grad_(), None), atol=0.0, rtol=0.0
    )


def test_a_puzzle_does_not_depend_on_the_others(block: LinesBlock) -> None:
    x = draw(block, 6).requires_grad_()
    alone = torch.cat([block(row[None], None) for row in x])
    torch.testing.assert_close(block(x, None), alone, atol=2e-6, rtol=2e-5)


def test_numba_is_loaded_for_gradients_or_for_much_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sage.hrm_core.model.line_kernel", raising=False)
    monkeypatch.setattr(lines._Work, "num_computed", 0)
    x = torch.zeros(1, 216, 10)
    monkeypatch.setattr(lines, "_WORTH_LOADING", 2 * x.numel())
    assert [lines.is_for_kernels(x) for _ in range(3)] == [False, False, True]
    monkeypatch.setattr(lines._Work, "num_computed", 0)
    assert lines.is_for_kernels(x.requires_grad_())


def test_a_model_loads_its_loops_before_a_segment_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines._Work, "num_computed", 0)
    taken: list[Tensor] = []
    monkeypatch.setattr(lines, "_infer", lambda x, *rest: taken.append(x) or x)
    sizes = {"mixer": "lines", "hidden_size": 10, "num_heads": 1, "mlp_multiple": 6, "q_source": "mean"}
    small = TokenFront(vocab_size=6, seq_len=16, alike_from=2)
    HRM(ModelConfig.preset("tiny", **{**sizes, "front": small, "box": (2, 2)})).compile_loops()
    assert not taken  # torch computes so few tokens
    HRM(ModelConfig.preset("tiny", **{**sizes, **SHAPES["6x6, boxes of two rows"]})).compile_loops()
    assert [tuple(x.shape) for x in taken] == [(1, 216, 10)]
    assert lines._Work.num_computed == 0


@pytest.mark.parametrize(
    "x", [torch.zeros(2, 16, 8), torch.zeros(2, 216, 8, dtype=torch.float64)], ids=["4x4 cells", "fp64"]
)
def test_the_rest_is_left_to_torch(x: Tensor) -> None:
    assert not lines.is_for_kernels(x.requires_grad_())


def test_without_numba_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "has_compiler", lambda: False)
    assert not lines.is_for_kernels(torch.zeros(2, 216, 8, requires_grad=True))
