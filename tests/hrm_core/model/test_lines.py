"""Mixing along lines, and symbols that are alike: what a model is told nowhere, it cannot tell apart."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sage.hrm_core.config.model import ModelConfig, ObservationFront, TokenFront
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.model.layers import LinesBlock
from sage.hrm_core.model.norms import rms_norm

DIGITS = TokenFront(
    vocab_size=8, seq_len=36, positions="none", alike_from=2
)  # 6x6 sudoku: pad, blank, six digits
SETTINGS: dict[str, Any] = {
    "mixer": "lines",
    "box": (2, 3),
    "hidden_size": 8,
    "num_heads": 1,
    "mlp_multiple": 8,
    "q_source": "mean",
}


def build(front: TokenFront = DIGITS, **changes: Any) -> HRM:
    config = ModelConfig.preset("tiny", front=front, **{**SETTINGS, **changes})
    model = HRM(config, generator=torch.Generator().manual_seed(2)).eval()
    with torch.no_grad():  # it starts at 0 and says nothing
        model.inner.q_head.weight.normal_(generator=torch.Generator().manual_seed(8))
    return model


def answer(model: HRM, inputs: Tensor, num_segments: int = 2) -> tuple[Tensor, Tensor]:
    """Logits (B, L, V) and q_halt (B,)."""
    batch = TokenBatch(inputs=inputs, labels=inputs, puzzle_ids=torch.full((len(inputs),), -1))
    state = model.initial_state(batch)
    for _ in range(num_segments):
        state, output = model(state, batch, halts_early=False)
    assert output.logits is not None
    assert output.q_halt is not None
    return output.logits, output.q_halt


@pytest.fixture
def puzzles() -> Tensor:
    """(3, 36), symbols 0 to 7."""
    return torch.randint(0, 8, (3, 36), generator=torch.Generator().manual_seed(0))


def test_a_block_hears_its_row_its_column_its_box_and_its_cell() -> None:
    block = build().inner.L_level.layers[0]
    assert isinstance(block, LinesBlock)
    x = torch.randn(2, 6, 6, 6, 8, generator=torch.Generator().manual_seed(1))  # (B, row, column, digit, D)
    heard = torch.zeros(*x.shape[:-1], 5, 8)
    for row, col, digit in np.ndindex(6, 6, 6):
        band, stack = row // 2 * 2, col // 3 * 3
        heard[:, row, col, digit] = torch.stack(
            (
                x[:, row, col, digit],
                x[:, row, :, digit].mean(1) * 6**0.5,
                x[:, :, col, digit].mean(1) * 6**0.5,
                x[:, band : band + 2, stack : stack + 3, digit].mean((1, 2)) * 6**0.5,
                x[:, row, col].mean(1) * 6**0.5,
            ),
            dim=1,
        )
    expected = rms_norm(x + block.mlp(heard.flatten(-2)), 1e-5).flatten(1, 3)
    torch.testing.assert_close(block(x.flatten(1, 3), None), expected, atol=1e-5, rtol=1e-5)
    with torch.no_grad():  # another road
        torch.testing.assert_close(block(x.flatten(1, 3), None), expected, atol=1e-5, rtol=1e-5)


def test_digits_are_alike(puzzles: Tensor) -> None:
    model, renamed = build(), torch.tensor([0, 1, 4, 2, 7, 3, 6, 5])
    logits, q_halt = answer(model, puzzles)
    other, other_q = answer(model, renamed[puzzles])
    torch.testing.assert_close(other[..., renamed], logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(other_q, q_halt, atol=1e-4, rtol=1e-4)
    named = torch.tensor([1, 0, 2, 3, 4, 5, 6, 7])
    assert not torch.allclose(answer(model, named[puzzles])[0][..., named], logits, atol=1e-2), (
        "pad and blank are not"
    )


def test_places_are_alike_as_far_as_the_lines_are(puzzles: Tensor) -> None:
    model = build()
    logits, _ = answer(model, puzzles)
    cells = torch.arange(36).view(6, 6)
    same_rules = cells[[3, 2, 0, 1, 5, 4]][
        :, [4, 3, 5, 1, 2, 0]
    ].flatten()  # bands, rows within, stacks, columns within
    torch.testing.assert_close(
        answer(model, puzzles[:, same_rules])[0], logits[:, same_rules], atol=1e-4, rtol=1e-4
    )
    other_rules = cells[[0, 2, 1, 3, 4, 5]].flatten()  # a row of another band
    assert not torch.allclose(answer(model, puzzles[:, other_rules])[0], logits[:, other_rules], atol=1e-2)


def test_learned_positions_tell_places_apart_and_no_digits(puzzles: Tensor) -> None:
    model = build(dataclasses.replace(DIGITS, positions="learned"))
    renamed, swapped = torch.tensor([0, 1, 4, 2, 7, 3, 6, 5]), torch.arange(36).view(6, 6).flip(0).flatten()
    logits, _ = answer(model, puzzles)
    torch.testing.assert_close(answer(model, renamed[puzzles])[0][..., renamed], logits, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(answer(model, puzzles[:, swapped])[0], logits[:, swapped], atol=1e-2)


def test_lines_do_without_boxes_and_without_alike_symbols() -> None:
    front = TokenFront(vocab_size=5, seq_len=16, positions="learned")
    model = build(front, box=None, q_source="one_token")
    assert answer(model, torch.randint(0, 5, (2, 16)))[0].shape == (2, 16, 5)
    assert (
        model.inner.L_level.layers[0].mlp.gate_up_proj.weight.shape[1] == 3 * 8
    )  # itself, its row, its column


def test_boxes_as_lists_are_boxes() -> None:
    config = build(box=[2, 3]).config  # as YAML has them
    assert config == build().config
    assert ModelConfig.from_plain(json.loads(json.dumps(config.to_plain()))) == config
    assert hash(config)


def test_what_is_no_symbol_is_refused(puzzles: Tensor) -> None:
    with pytest.raises(IndexError):
        answer(build(), puzzles + 300)


def test_it_survives_a_folder(tmp_path: Path, puzzles: Tensor) -> None:
    model = build()
    model.save_pretrained(tmp_path)
    read = HRM.from_pretrained(tmp_path)
    assert read.config == model.config
    torch.testing.assert_close(answer(read.eval(), puzzles)[0], answer(model, puzzles)[0])
    assert ModelConfig.from_plain(json.loads(json.dumps(model.config.to_plain()))) == model.config


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"mixer": "mlp", "box": None},
            "interchangeable symbols \\(alike_from\\): give mixer lines",
        ),
        ({"mixer": "mlp", "front": TokenFront(vocab_size=8, seq_len=36)}, "only mixer lines uses boxes"),
        ({"box": (4, 3)}, r"box is \(4, 3\): give rows and columns of 6 cells in all"),
        ({"box": (3, 3)}, r"box is \(3, 3\): give rows and columns of 6 cells in all"),
        ({"box": (-2, -3)}, "give rows and columns"),
        ({"box": (6,)}, "give rows and columns"),
        ({"box": 3}, "box is 3: give rows and columns"),
        ({"box": [2.0, 3]}, "give rows and columns"),
        ({"box": [2, "a"]}, "give rows and columns"),
        ({"front": TokenFront(vocab_size=8, seq_len=35)}, "it needs a square of cells"),
        (
            {"front": ObservationFront(source_dims=(2,)), "q_source": "one_token"},
            "it needs a square of cells",
        ),
        (
            {"front": ObservationFront(source_dims=(2,)), "mixer": "attention", "box": None},
            "a model of sensors has its own readout",
        ),
        ({"q_source": "all"}, "q_source is 'all'"),
    ],
)
def test_what_does_not_fit_is_one_line(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ModelConfig.preset("tiny", **{"front": DIGITS, **SETTINGS, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"alike_from": 0},
        {"alike_from": 8},
        {"alike_from": "a"},
        {"alike_from": 1.5},
        {"alike_from": True},
        {"num_puzzle_ids": 1, "puzzle_emb_ndim": 4, "puzzle_tokens": 1},
    ],
)
def test_symbols_that_cannot_be_alike_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="alike_from is"):
        dataclasses.replace(DIGITS, **change)
