"""Every published recipe takes a step: in a small model always, in its true size where there are minutes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sage.app.cli.main import invoke
from sage.app.config.names import shipped_recipes

SUDOKU = (
    "sudoku_1k",
    "sudoku_1k_laptop",
    "sudoku_full",
    "trm_sudoku_1k",
    "trm_sudoku_1k_attention",
    "sudoku_extreme_h100",
)
MAZE = ("maze_1k", "trm_maze_1k")
ARC = ("arc1", "arc2", "trm_arc1", "trm_arc2")
#: Narrow, the rest of the shape as published.
NARROW = ("model.hidden_size=32", "model.num_heads=1", "model.mlp_multiple=32", "front.puzzle_emb_ndim=32")
#: Two grids that no symmetry takes into each other.
GRIDS = {
    "train": "123456789456789123789123456234567891567891234891234567345678912678912345912345678",
    "dev": "534678912672195348198342567859761423426853791713924856961537284287419635345286179",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sudoku file, a file of mazes, a built folder of ARC: as few as will do."""
    from sage.hrm_core.datasets.build_arc import build_arc
    from sage.hrm_core.tasks.maze.symbols import SYMBOLS

    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for side, answer in GRIDS.items():
        questions = ["".join("." if rng.random() < 0.3 else cell for cell in answer) for _ in range(4)]
        lines = ["source,question,answer,rating", *(f"made,{each},{answer},0" for each in questions)]
        (folder / f"sudoku_{side}.csv").write_text("\n".join(lines) + "\n")
    wall, free, start, goal, way = (SYMBOLS.index(each) + 1 for each in "# SGo")
    mazes: dict[str, np.ndarray] = {}
    for side, end in (("train", 5), ("dev", 8)):  # corridors of two lengths
        for name, inside in (("inputs", free), ("labels", way)):
            cells = np.full((30, 30), wall, np.uint8)
            cells[1, 1 : end + 1] = inside
            cells[1, 1], cells[1, end] = start, goal
            mazes[f"{side}_{name}"] = np.repeat(cells.reshape(1, 900), 2, axis=0)
    np.savez(folder / "maze.npz", **mazes)
    for side in ("training", "evaluation"):
        (folder / "puzzles" / side).mkdir(parents=True)
        grids = [rng.integers(0, 6, size=(3, 4)) for _ in range(3)]
        pairs = [{"input": grid.tolist(), "output": grid[:, ::-1].tolist()} for grid in grids]
        (folder / "puzzles" / side / f"{side}.json").write_text(
            json.dumps({"train": pairs[:2], "test": pairs[2:]})
        )
    build_arc(str(folder / "puzzles"), out=folder / "arc", num_aug=2)
    files = {name: folder / "sudoku_train.csv" for name in SUDOKU} | {
        name: folder / "maze.npz" for name in MAZE
    }
    return files | {name: folder / "arc" for name in ARC}


def _dry_run(name: str, data: Path, capsys: pytest.CaptureFixture[str], *changes: str) -> dict[str, float]:
    sets = [
        word
        for change in ("train.eval_examples=1", "train.eval_segments=[1]", *changes)
        for word in ("--set", change)
    ]
    evaluation = ["--eval-data", str(data.with_name("sudoku_dev.csv"))] if data.suffix == ".csv" else []
    capsys.readouterr()
    arguments = [
        "train",
        name,
        "--data",
        str(data),
        *evaluation,
        "--batch-size",
        "2",
        *sets,
        "--dry-run",
        "--json",
    ]
    assert invoke([*arguments, "--device", "cpu"]) == 0
    found: dict[str, float] = json.loads(capsys.readouterr().out)
    return found


def test_every_recipe_that_needs_data_is_here() -> None:
    from sage.app.models.training.recipe import find_recipe

    assert {name for name in shipped_recipes() if find_recipe(name, None).needs_data} == {
        *SUDOKU,
        *MAZE,
        *ARC,
    }


@pytest.mark.parametrize("name", [*SUDOKU, *MAZE, *ARC])
def test_a_published_recipe_takes_a_step(
    name: str, data: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = _dry_run(name, data[name], capsys, *NARROW)
    assert found["valid_labels"] == 1.0
    assert found["step_cpu_secs"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SUDOKU, *MAZE, *ARC])
def test_a_published_recipe_takes_a_step_in_its_true_size(
    name: str, data: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = _dry_run(name, data[name], capsys)
    assert found["parameters"] >= 5_000_000
