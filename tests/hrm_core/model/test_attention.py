"""Backends agree; the choice is the best that is there, and says why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor

from sage.hrm_core.model.attention import (
    AttentionName,
    attend,
    attention_weights,
    choose_attention,
    prepare_to_compile,
)

SHAPE = (2, 3, 7, 16)  # B, A, S, E


def draw() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    q, k, v = (torch.randn(SHAPE, generator=generator) for _ in range(3))
    return q, k, v


def fake_flash(name: str, *, returns_lse: bool = False) -> ModuleType:
    """The kernel's interface, (B, S, A, E), over plain products."""

    def flash_attn_func(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> object:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        out = (attention_weights(q, k, is_causal=causal) @ v).transpose(1, 2)
        return (out, torch.zeros(())) if returns_lse else out

    module = ModuleType(name)
    module.flash_attn_func = flash_attn_func  # type: ignore[attr-defined]
    return module


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A machine with an H100 and no flash-attn yet."""
    choose_attention.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    for name in ("flash_attn_interface", "flash_attn"):
        monkeypatch.setitem(sys.modules, name, None)
    yield monkeypatch
    choose_attention.cache_clear()


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("backend", ["flash_attn_interface", "flash_attn", "eager"])
def test_every_backend_computes_the_same(
    backend: AttentionName, is_causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules, "flash_attn_interface", fake_flash("flash_attn_interface", returns_lse=True)
    )
    monkeypatch.setitem(sys.modules, "flash_attn", fake_flash("flash_attn"))
    q, k, v = draw()
    expected = attend(q, k, v, is_causal=is_causal, backend="sdpa")
    torch.testing.assert_close(
        attend(q, k, v, is_causal=is_causal, backend=backend), expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("backend", ["flash_attn_interface", "flash_attn"])
def test_the_real_kernels_agree_with_torch(backend: AttentionName) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device: flash-attn needs CUDA")
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    q, k, v = (x.to("cuda", torch.bfloat16) for x in draw())
    torch.testing.assert_close(
        attend(q, k, v, backend=backend), attend(q, k, v, backend="sdpa"), atol=2e-2, rtol=2e-2
    )


def test_a_cpu_takes_torchs_kernel_and_says_why() -> None:
    choice = choose_attention("cpu", torch.float32, 64)
    assert choice.name == "sdpa"
    assert "CUDA" in choice.reason


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (("flash_attn_interface", "flash_attn"), "flash_attn_interface"),
        (("flash_attn",), "flash_attn"),
        ((), "sdpa"),
    ],
)
def test_a_hopper_takes_the_best_that_is_installed(
    hopper: pytest.MonkeyPatch, installed: tuple[str, ...], expected: str
) -> None:
    for name in installed:
        hopper.setitem(sys.modules, name, fake_flash(name))
    choice = choose_attention("cuda", torch.bfloat16, 64)
    assert choice.name == expected
    assert "\n" not in choice.reason
    assert choice.reason


def test_an_ampere_leaves_flash_attention_3_alone(hopper: pytest.MonkeyPatch) -> None:
    hopper.setattr(torch.cuda, "get_device_capability", lambda: (8, 7))
    for name in ("flash_attn_interface", "flash_attn"):
        hopper.setitem(sys.modules, name, fake_flash(name))
    choice = choose_attention("cuda", torch.float16, 64)
    assert choice.name == "flash_attn"
    assert "9.0" in choice.reason


@pytest.mark.parametrize(
    ("dtype", "head_dim", "word"), [(torch.float32, 64, "fp16"), (torch.bfloat16, 36, "heads of 36")]
)
def test_what_flash_cannot_take_goes_to_torch(
    hopper: pytest.MonkeyPatch, dtype: torch.dtype, head_dim: int, word: str
) -> None:
    hopper.setitem(sys.modules, "flash_attn", fake_flash("flash_attn"))
    choice = choose_attention("cuda", dtype, head_dim)
    assert choice.name == "sdpa"
    assert word in choice.reason


def test_an_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="flash_attn_interface"):
        attend(*draw(), backend="xformers")  # type: ignore[arg-type]


def test_the_choice_breaks_no_compiled_graph() -> None:
    q, k, v = draw()
    prepare_to_compile()
    compiled = torch.compile(attend, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(q, k, v), attend(q, k, v))


def test_weights_sum_to_one_and_causal_ones_look_back_only() -> None:
    q, k, _ = draw()
    weights = attention_weights(q, k, is_causal=True)
    torch.testing.assert_close(weights.sum(-1), torch.ones(SHAPE[:3]))
    assert torch.equal(weights, weights.tril())
