"""One file of weights for grids of several sizes: a `grid` mixer without positions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.solving.published import load_published, save_published
from sage.hrm_core.solving.task_card import TaskCard, read_card
from sage.hrm_core.tasks.maze.symbols import WALL

CARD = TaskCard(task="maze", options={"size": 6, "sizes": (4, 6), "difficulty": "easy"}, sizes=(4, 7))


def build_model(side: int = 6, positions: str = "none", mixer: str = "grid") -> HRM:
    front = TokenFront(vocab_size=6, seq_len=side**2, positions=positions)  # type: ignore[arg-type]
    return HRM(
        ModelConfig.preset(
            "tiny", front=front, mixer=mixer, q_source="mean", L_layers=2, H_layers=2, hidden_size=16
        )
    ).eval()


def answers(model: HRM, mazes: np.ndarray) -> torch.Tensor:
    cells = torch.from_numpy(mazes)
    batch = TokenBatch(inputs=cells, labels=cells, puzzle_ids=torch.full((len(cells),), -1))
    with torch.inference_mode():
        logits = model.segment(model.initial_carry(len(cells)), batch)[1].logits
    assert logits is not None
    return logits


def test_weights_at_another_side_compute_the_same_far_from_the_edge() -> None:
    """A segment of three calls of two blocks reaches six cells; the others see no edge."""
    large = np.random.default_rng(0).integers(1, 6, size=(2, 27, 27)).astype(np.int32)
    small = large[:, 1:-1, 1:-1]
    model = build_model(27)
    ours = answers(model, large.reshape(2, -1)).view(2, 27, 27, -1)
    theirs = answers(model.at_side(25), small.reshape(2, -1)).view(2, 25, 25, -1)
    torch.testing.assert_close(ours[:, 7:-7, 7:-7], theirs[:, 6:-6, 6:-6], rtol=1e-4, atol=1e-4)
    assert (ours[:, 1:-1, 1:-1] - theirs).abs().max() > 1e-3  # near the edge they differ


@pytest.mark.parametrize(
    ("positions", "mixer"), [("learned", "grid"), ("none", "mlp"), ("none", "attention")]
)
def test_weights_that_depend_on_places_fit_one_side(positions: str, mixer: str) -> None:
    with pytest.raises(InputError, match="side is 5: the weights depend on the side"):
        build_model(6, positions, mixer).at_side(5)


def test_a_card_with_sizes_is_read_as_it_was_written(tmp_path: Path) -> None:
    save_published(tmp_path, build_model(), CARD)
    card = read_card(tmp_path)
    assert card is not None
    assert card.sizes == (4, 7)
    assert load_published(tmp_path).at_side(5).task.spec.grid == (5, 5)  # type: ignore[union-attr]


@pytest.mark.parametrize("sizes", [[4], [4, 5, 6], "4 to 6", [None, 4]])
def test_a_card_whose_sizes_are_not_a_range_is_refused(tmp_path: Path, sizes: object) -> None:
    (tmp_path / "task.json").write_text(json.dumps({"task": "maze", "sizes": sizes}))
    with pytest.raises(CheckpointError, match="not a task card"):
        read_card(tmp_path)


def test_an_inference_solves_each_side_of_its_card(tmp_path: Path) -> None:
    save_published(tmp_path, build_model(), CARD)
    inference = HRMInference(tmp_path)
    for side in (4, 6, 7):
        maze = "\n".join(["S" + "." * (side - 1), *["." * side] * (side - 2), "." * (side - 1) + "G"])
        answer = inference.at_side(side).solve_one(maze, max_segments=2)
        assert answer.solution.cells.shape == (side**2,)
        assert len(answer.puzzle.split("\n")) == side
        assert WALL not in inference.at_side(side).encode(maze)
    for side in (3, 8):
        with pytest.raises(
            InputError, match=rf"the grid is {side}x{side}: the model solves grids 4x4 to 7x7"
        ):
            inference.at_side(side)


def test_puzzles_of_several_sizes_are_solved_in_their_order(tmp_path: Path) -> None:
    save_published(tmp_path, build_model(), CARD)
    inference = HRMInference(tmp_path)
    mazes = ["S" + "." * (side**2 - 2) + "G" for side in (5, 6, 4, 5)]
    found = inference.solve(mazes, max_segments=2)
    assert [each.solution.cells.size for each in found] == [25, 36, 16, 25]
    alone = [inference.for_puzzle(maze).solve_one(maze, max_segments=2) for maze in mazes]
    assert [each.answer for each in found] == [each.answer for each in alone]
    predicted = inference.batch_predict([mazes[0], "S..\n...\n..G", mazes[1]], max_segments=2)
    assert [type(each).__name__ for each in predicted] == ["Answer", "InputError", "Answer"]
    with pytest.raises(InputError, match="puzzle 2 of 2: the grid is 3x3: the model solves grids 4x4 to 7x7"):
        inference.solve([mazes[0], "S..\n...\n..G"])


def test_a_model_of_one_size_is_at_its_own_side_alone(tmp_path: Path) -> None:
    save_published(tmp_path, build_model(), TaskCard(task="maze", options={"size": 6, "difficulty": "easy"}))
    inference = HRMInference(tmp_path)
    assert inference.at_side(6).num_cells == 36
    with pytest.raises(InputError, match="the model solves grids of one size"):
        inference.at_side(5)
