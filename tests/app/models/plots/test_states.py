"""States and attention are drawn from what was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the extra viz is not installed")

from sage.app.models.plots.figure import save_figure
from sage.app.models.plots.states import draw_attention, draw_states
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.trajectory import record_trajectory

PUZZLE, ANSWER = ".4..1.42.23.....", "2413134242313124"
FRONT = TokenFront(vocab_size=6, seq_len=16, positions="learned")


def cells(text: str) -> np.ndarray:
    return np.array([1 if each == "." else int(each) + 1 for each in text], np.int32)


@pytest.mark.parametrize("mixer", ["mlp", "attention"])
def test_states_and_attention_are_drawn_where_there_are_any(mixer: str, tmp_path: Path) -> None:
    model = HRM(ModelConfig.preset("tiny", front=FRONT, mixer=mixer))
    trajectory = record_trajectory(model, np.tile(cells(PUZZLE), (3, 1)), num_segments=2)
    assert save_figure(draw_states(trajectory), tmp_path / "states.png").stat().st_size > 10_000
    figure = draw_attention(trajectory, (4, 4), 5)
    assert (figure is None) == (mixer == "mlp")
    if figure is not None:
        assert [axis.get_title(loc="left") for axis in figure.axes[:3]] == [
            "call 1, L",
            "call 2, L",
            "call 3, H",
        ]
        with pytest.raises(ValueError, match="cell is 16: give 0 to 15"):
            draw_attention(trajectory, (4, 4), 16)
