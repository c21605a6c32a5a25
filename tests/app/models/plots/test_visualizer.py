"""HRMVisualizer: one file for each picture, from plain arrays and lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib", reason="the extra viz is not installed")

from sage.app.models.plots.visualizer import HRMVisualizer
from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM

PUZZLE = [[0, 4, 0, 0], [1, 0, 4, 2], [0, 2, 3, 0], [0, 0, 0, 0]]
SOLUTION = [[2, 4, 1, 3], [1, 3, 4, 2], [4, 2, 3, 1], [3, 1, 2, 4]]


@pytest.fixture
def visualizer(tmp_path: Path) -> HRMVisualizer:
    return HRMVisualizer(tmp_path / "pictures")


def test_a_sudoku_is_drawn_from_lists_arrays_and_tensors(visualizer: HRMVisualizer) -> None:
    wrong = np.array(SOLUTION)
    wrong[0, 0] = 3
    written = [
        visualizer.plot_sudoku_solving(PUZZLE, SOLUTION),
        visualizer.plot_sudoku_solving(np.array(PUZZLE).ravel(), SOLUTION, wrong, save_name="wrong"),
        visualizer.plot_sudoku_solving(
            torch.tensor(PUZZLE), torch.tensor(SOLUTION), wrong, save_name="tensor"
        ),
    ]
    assert [path.name for path in written] == ["sudoku_example.png", "wrong.png", "tensor.png"]
    assert written[1].read_bytes() == written[2].read_bytes()
    assert written[0].read_bytes() != written[1].read_bytes()


def test_a_maze_is_drawn_with_its_path(visualizer: HRMVisualizer) -> None:
    maze = np.zeros((10, 10), int)
    maze[0, 5:] = 1
    path = maze.copy()
    path[1, :] = 2
    with_path = visualizer.plot_maze_solving(maze, path)
    assert with_path.read_bytes() != visualizer.plot_maze_solving(maze, maze, save_name="bare").read_bytes()


def test_training_is_drawn_from_epochs_and_from_steps(visualizer: HRMVisualizer) -> None:
    epochs = [
        {"epoch": number, "total_loss": 2.0 / number, "eval_accuracy": 0.1 * number} for number in (1, 2, 3)
    ]
    assert visualizer.plot_training_dynamics(epochs).is_file()
    steps = [{"step": number, "train/lm_loss": 2.0 / number} for number in (1, 2, 3)]
    assert visualizer.plot_training_dynamics(steps, save_name="steps").is_file()


def test_a_model_is_drawn_with_its_flow(visualizer: HRMVisualizer) -> None:
    model = HRM(ModelConfig.preset("tiny", front=TokenFront(vocab_size=6, seq_len=16, positions="learned")))
    assert visualizer.plot_architecture(model).name == "architecture.png"
    assert visualizer.plot_hl_flow(model, np.full(16, 3), num_segments=2).name == "hl_flow.png"


def test_what_cannot_be_drawn_is_an_input_error(visualizer: HRMVisualizer) -> None:
    with pytest.raises(InputError, match="puzzle has 15 cells: give a square"):
        visualizer.plot_sudoku_solving([0] * 15, [0] * 15)
    with pytest.raises(InputError, match="solution has 9 cells, the puzzle 16"):
        visualizer.plot_sudoku_solving(PUZZLE, [0] * 9)
    with pytest.raises(InputError, match="maze has cells from 0 to 7: give 0 to 1"):
        visualizer.plot_maze_solving([0, 0, 7, 0], [0] * 4)
    with pytest.raises(InputError, match="metrics is empty"):
        visualizer.plot_training_dynamics([])
    with pytest.raises(InputError, match="epoch"):
        visualizer.plot_training_dynamics([{"loss": 1.0}])
    with pytest.raises(InputError, match="give one of png, svg, pdf"):
        HRMVisualizer(format="gif")
