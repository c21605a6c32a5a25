"""One small model twice, in plain Python and in torch: the same weights give the same numbers, forward and
backward.
"""

from __future__ import annotations

import importlib.util
import json
import math
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.model.losses import IGNORED, act_loss

EXAMPLE = Path(__file__).parents[2] / "examples" / "micro_hrm.py"
Q_TARGET = 0.3


@pytest.fixture(scope="module")
def micro() -> ModuleType:
    spec = importlib.util.spec_from_file_location("micro_hrm_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def build_both(micro: ModuleType, *, num_layers: int = 2, H_cycles: int = 2) -> tuple[object, HRM]:
    """The same weights in both; the Q head is random too, because a zero head would hide errors."""
    rng = random.Random(4)
    weights = micro.draw_weights(rng, num_layers=num_layers)
    for row in weights["q_head.weight"]:
        for leaf in row:
            leaf.data = rng.gauss(0.0, 0.5)
    config = ModelConfig(
        front=TokenFront(vocab_size=3, seq_len=16),
        hidden_size=8,
        num_heads=2,
        H_layers=num_layers,
        L_layers=num_layers,
        H_cycles=H_cycles,
        L_cycles=2,
        expansion=3.0,
        mlp_multiple=16,
        is_causal=True,
    )
    model = HRM(config).double().eval()
    state = {
        f"inner.{name}": torch.tensor([[micro.plain(x) for x in row] for row in rows], dtype=torch.float64)
        for name, rows in weights.items()
    }
    for name in ("H_init", "L_init", "q_head.bias"):
        state[f"inner.{name}"] = state[f"inner.{name}"][0]
    model.load_state_dict(state)
    angle = torch.arange(16).double()[:, None] * 10000.0 ** -(torch.arange(0, 4, 2).double() / 4)
    model.inner.rope = torch.stack((angle.cos(), angle.sin())).repeat(
        1, 1, 2
    )  # the table in fp64, as in the plain model
    return micro.HRM(weights, H_cycles=H_cycles), model


def batch_of(tokens: list[int], labels: list[int | None]) -> TokenBatch:
    counted = [IGNORED if label is None else label for label in labels]
    return TokenBatch(
        inputs=torch.tensor([tokens]), labels=torch.tensor([counted]), puzzle_ids=torch.tensor([-1])
    )


def close(found: object, expected: object, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(
        np.asarray(found, dtype=float), np.asarray(expected, dtype=float), atol=tolerance, rtol=tolerance
    )


def test_two_segments_of_both_are_the_same(micro: ModuleType) -> None:
    plain_model, model = build_both(micro)
    tokens, labels = micro.puzzle(3)
    batch = batch_of(tokens, labels)
    carry, state = plain_model.start(len(tokens)), model.initial_state(batch)  # type: ignore[attr-defined]
    for _ in range(2):
        carry, logits, q = plain_model.segment(carry, tokens, has_graph=False)  # type: ignore[attr-defined]
        state, output = model(state, batch)
        assert output.logits is not None
        assert output.q_halt is not None
        assert output.q_continue is not None
        close(state.carry.z_H[0], carry[0])
        close(state.carry.z_L[0], carry[1])
        close(output.logits[0].detach(), logits)
        close([float(output.q_halt.detach()), float(output.q_continue.detach())], q)


def test_loss_and_every_gradient_are_the_same(micro: ModuleType) -> None:
    """The paper's one-step gradient, in fp64, in the second segment."""
    plain_model, model = build_both(micro)
    tokens, labels = micro.puzzle(3)
    carry, _, _ = plain_model.segment(plain_model.start(len(tokens)), tokens, has_graph=False)  # type: ignore[attr-defined]
    _, logits, q = plain_model.segment(carry, tokens)  # type: ignore[attr-defined]
    loss, is_exact = micro.segment_loss(logits, q, labels, Q_TARGET)
    micro.Value.backward(loss)

    batch = batch_of(tokens, labels)
    torch_carry, _ = model.segment(model.initial_carry(1, num_tokens=len(tokens)), batch)
    _, output = model.segment(torch_carry, batch)
    expected = act_loss(output, batch.labels, q_continue=torch.tensor([Q_TARGET], dtype=torch.float64))
    expected.total.backward()

    assert is_exact == bool(expected.is_exact)
    close(loss.data, float(expected.total.detach()))
    gradients = {name.removeprefix("inner."): each.grad for name, each in model.named_parameters()}
    found = {
        name: [[leaf.grad for leaf in row] for row in rows]
        for name, rows in plain_model.weights.items()  # type: ignore[attr-defined]
        if name not in ("H_init", "L_init")
    }
    assert set(found) == set(gradients)
    for name, rows in found.items():
        close(rows[0] if name == "q_head.bias" else rows, gradients[name])
        assert np.abs(np.asarray(rows)).max() > 1e-6, name


def test_a_gradient_is_the_slope_of_the_loss(micro: ModuleType) -> None:
    """Finite differences of one weight. With one cycle of one L call the one-step gradient is
    the full gradient.
    """
    plain_model, _ = build_both(micro, num_layers=1, H_cycles=1)
    plain_model.L_cycles = 1  # type: ignore[attr-defined]
    tokens, labels = micro.puzzle(2)

    def loss() -> object:
        _, logits, q = plain_model.segment(plain_model.start(len(tokens)), tokens)  # type: ignore[attr-defined]
        return micro.segment_loss(logits, q, labels, Q_TARGET)[0]

    micro.Value.backward(loss())
    leaf = plain_model.weights["L_level.layers.0.self_attn.qkv_proj.weight"][3][5]  # type: ignore[attr-defined]
    slope, middle, step = leaf.grad, leaf.data, 1e-5
    ends = []
    for side in (-step, step):
        leaf.data = middle + side
        ends.append(micro.plain(loss()))
    micro.Value.tape.clear()
    assert slope == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-5)


def test_the_language_counts(micro: ModuleType) -> None:
    tokens, labels = micro.puzzle(2)
    assert "".join(micro.SYMBOLS[token] for token in tokens) == ".aabb"
    assert labels == [None, None, None, 2, 0]


def test_the_example_learns_a_short_language() -> None:
    command = [sys.executable, str(EXAMPLE), "--steps", "300", "--max-n", "3"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["right"], result["of"]) == (3, 3)
    assert math.isfinite(result["cpu_secs"])


def test_the_example_needs_no_package() -> None:
    """It runs with the standard library alone, under the isolated interpreter."""
    code = (
        f"import runpy, sys; runpy.run_path({str(EXAMPLE)!r}); sys.exit(any(name in sys.modules for name in"
        " ('torch', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-I", "-S", "-c", code], check=False).returncode == 0


def test_the_example_stays_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 350
