"""Models by name: their sizes, and the front that wins."""

from __future__ import annotations

import pytest

from sage.hrm_core.config.model import Front, ModelConfig, ObservationFront, TokenFront
from sage.hrm_core.config.presets import preset_names
from sage.hrm_core.model.hrm import HRM


def cells(vocab_size: int, seq_len: int) -> TokenFront:
    return TokenFront(vocab_size=vocab_size, seq_len=seq_len, positions="learned")


@pytest.mark.parametrize(
    ("preset", "front", "expected"),
    [
        ("tiny", cells(6, 16), 16_322),
        ("small", cells(6, 16), 81_794),
        ("small", cells(8, 36), 104_834),
        ("small", cells(11, 81), 204_866),
        ("medium", cells(11, 81), 520_946),
    ],
)
def test_the_cpu_models_have_these_sizes(preset: str, front: TokenFront, expected: int) -> None:
    model = HRM(ModelConfig.preset(preset, front=front))
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize("box", [(2, 2), (2, 3), (3, 3), (5, 5)])
def test_the_sudoku_model_has_one_size_for_all(box: tuple[int, int]) -> None:
    side = box[0] * box[1]
    front = TokenFront(vocab_size=side + 2, seq_len=side**2, positions="none", alike_from=2)
    model = HRM(ModelConfig.preset("sudoku", front=front, box=box))
    assert sum(parameter.numel() for parameter in model.parameters()) == 45_346
    deduction = HRM(ModelConfig.preset("deduce", front=front, box=box))
    assert sum(parameter.numel() for parameter in deduction.parameters()) == 101_956
    assert ModelConfig.preset("sudoku").box == ModelConfig.preset("deduce").box == (3, 3)


def test_a_front_of_the_callers_wins() -> None:
    alike = TokenFront(vocab_size=6, seq_len=16, positions="none", alike_from=2)
    for name in preset_names():
        front: Front = cells(5, 9)
        if name == "loop":
            front = ObservationFront(source_dims=(2,))
        elif name.startswith("deduce"):
            front = alike  # they have no candidates without interchangeable symbols
        assert ModelConfig.preset(name, front=front).front is front


@pytest.mark.parametrize("name", [name for name in preset_names() if name != "loop"])
def test_every_model_of_puzzles_has_sudoku_by_itself(name: str) -> None:
    front = ModelConfig.preset(name).front
    assert isinstance(front, TokenFront)
    assert (front.vocab_size, front.seq_len) == (11, 81)


def test_changes_win_over_the_preset() -> None:
    config = ModelConfig.preset("small", mixer="attention", is_causal=True)
    assert (config.mixer, config.is_causal, config.gate) == ("attention", True, "normed")


def test_the_loops_model_asks_for_a_front() -> None:
    with pytest.raises(ValueError, match="front"):
        ModelConfig.preset("loop")
