"""Shipped recipes hold what was published, to the value."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sage.app.config.names import shipped_recipes
from sage.app.config.yaml_file import parse_yaml
from sage.app.models.training.building import build_model, build_task
from sage.app.models.training.recipe import Recipe, find_recipe, parse_recipe
from sage.app.terminal.errors import UserError
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.published import load_published
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.training.deduction_config import DeductionConfig


def _recipe(name: str) -> Recipe:
    return find_recipe(name, None)


@pytest.mark.parametrize(
    ("name", "batch_size", "epochs", "lr", "weight_decay", "puzzle_lr", "steps"),
    [
        ("sudoku_1k", 768, 20_000, 1e-4, 1.0, 1e-4, 26_041),
        ("sudoku_1k_laptop", 384, 20_000, 7e-5, 1.0, 7e-5, 52_083),
        ("maze_1k", 768, 20_000, 1e-4, 1.0, 1e-4, 26_041),
        ("sudoku_full", 2304, 100, 3e-4, 0.1, 3e-4, None),
        ("arc1", 768, 100_000, 1e-4, 0.1, 1e-2, None),
        ("arc2", 768, 100_000, 1e-4, 0.1, 1e-2, None),
        ("trm_sudoku_1k", 768, 50_000, 1e-4, 1.0, 1e-4, 65_104),
        ("trm_sudoku_1k_attention", 768, 50_000, 1e-4, 1.0, 1e-4, 65_104),
        ("trm_maze_1k", 768, 50_000, 1e-4, 1.0, 1e-4, 65_104),
        ("trm_arc1", 768, 100_000, 1e-4, 0.1, 1e-2, None),
        ("trm_arc2", 768, 100_000, 1e-4, 0.1, 1e-2, None),
    ],
)
def test_published_recipes_are_as_published(
    name: str,
    batch_size: int,
    epochs: int,
    lr: float,
    weight_decay: float,
    puzzle_lr: float,
    steps: int | None,
) -> None:
    train = _recipe(name).train
    optimizer = train.optimizer
    assert (train.batch_size, train.epochs) == (batch_size, epochs)
    assert (optimizer.kind, optimizer.lr, optimizer.weight_decay, optimizer.puzzle_lr) == (
        "adam_atan2", lr, weight_decay, puzzle_lr,
    )  # fmt: skip
    assert optimizer.puzzle_weight_decay == weight_decay
    assert optimizer.betas == (0.9, 0.95)
    assert optimizer.warmup_steps == 2000
    assert optimizer.min_lr_ratio == (0.1 if name == "sudoku_full" else 1.0)
    assert train.cross_entropy == ("softmax" if name == "sudoku_full" else "stablemax")
    assert train.ema_decay == (0.999 if name.startswith("trm") else None)
    assert (train.q_weight, train.label_smoothing, train.clip_norm) == (0.5, 0.0, None)
    if steps is not None:
        assert train.num_steps() == steps
    else:
        assert train.num_steps(1000) == epochs * 1000 // batch_size


@pytest.mark.parametrize(
    ("name", "preset", "model", "positions"),
    [
        ("sudoku_1k", "hrm-27m", {}, None),
        ("sudoku_full", "hrm-27m", {"L_cycles": 8, "halt_max_segments": 8}, "learned"),
        ("trm_sudoku_1k", "trm-mlp-5m", {}, None),
        ("trm_maze_1k", "trm-7m", {"L_cycles": 4}, None),
        ("trm_arc1", "trm-7m", {"L_cycles": 4}, None),
    ],
)
def test_published_models_are_as_published(
    name: str, preset: str, model: dict[str, int], positions: str | None
) -> None:
    recipe = _recipe(name)
    assert (recipe.preset, recipe.model, recipe.front.get("positions")) == (preset, model, positions)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_recipe_is_valid_and_says_what_it_is(name: str) -> None:
    recipe = _recipe(name)
    assert recipe.about
    assert recipe.name == name
    assert recipe.train.num_steps(1000) >= 1


@pytest.mark.parametrize(
    ("name", "preset", "givens", "steps", "batch_size"),
    [
        ("sudoku4", "sudoku", None, 200, 32),
        ("sudoku6", "sudoku", None, 500, 32),
        ("sudoku9_easy", "sudoku", [36, 50], 500, 16),
        ("sudoku9_mlp", "small", [36, 50], 1300, 32),
        ("demo_sudoku9", "sudoku", [17, 34], 8600, 16),
    ],
)
def test_small_sudoku_is_trained_as_it_was_measured(
    name: str, preset: str, givens: list[int] | None, steps: int, batch_size: int
) -> None:
    recipe = _recipe(name)
    (task,), train = recipe.tasks, recipe.train
    assert (task.options.get("givens"), task.options["nearly_solved"]) == (givens, 0.05)
    assert (train.steps, train.batch_size, train.matmul, recipe.preset) == (
        steps,
        batch_size,
        "highest" if name == "demo_sudoku9" else "medium",
        preset,
    )
    assert train.q_weight == 0.05


@pytest.mark.parametrize("name", ["brackets", "colouring", "hanoi", "patterns", "sat", "multitask_small"])
def test_tasks_of_few_segments_are_trained_as_they_were_measured(name: str) -> None:
    assert _recipe(name).train.q_weight == 0.5


def test_lines_take_the_tasks_boxes_under_any_preset() -> None:
    task = make_task("sudoku", size=6)
    for words in (["preset=small"], ["preset=sudoku"], ["preset=sudoku", "model.box=[2,3]"]):
        model = build_model(
            find_recipe("sudoku", None, [*words, "model.mixer=lines", "task.size=6"]), task.spec
        )
        assert model.config.box == (2, 3)


def test_a_preset_for_sudoku_takes_the_tasks_own_boxes_and_refuses_others() -> None:
    model = build_model(
        find_recipe("sudoku", None, ["preset=sudoku", "task.size=6"]), make_task("sudoku", size=6).spec
    )
    assert model.config.box == (2, 3)
    with pytest.raises(UserError, match="task maze has no symbols that are alike: give another preset"):
        build_model(find_recipe("maze", None, ["preset=sudoku"]), make_task("maze", size=9).spec)


def test_small_mazes_are_trained_as_they_were_measured() -> None:
    recipe = _recipe("maze10")
    (task,), train = recipe.tasks, recipe.train
    assert task.options == {"size": 10, "difficulty": "easy"}
    assert recipe.model == {"mixer": "grid", "L_cycles": 4, "halt_exploration": 1.0}
    assert (train.steps, train.batch_size, train.matmul, recipe.preset) == (1500, 32, "medium", "small")


def test_a_task_by_itself_is_trained_as_cpus_like_it() -> None:
    recipe = find_recipe("sudoku", None, ["task.size=6", "train.batch_size=8"])
    assert recipe.tasks[0].options == {"size": 6}
    assert (recipe.preset, recipe.train.optimizer.kind, recipe.train.batch_size) == ("small", "muon", 8)


def test_a_recipe_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("task: {name: sudoku, size: 4}\ntrain: {steps: 7, optimizer: {lr: 7e-5}}\n")
    recipe = find_recipe("sudoku", str(path))
    assert (recipe.name, recipe.train.steps, recipe.train.optimizer.lr) == ("mine", 7, 7e-5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prest: small", "recipe.yaml:1: prest: unknown key; did you mean preset?"),
        ("task: {size: 4}", "task: no name"),
        (
            "task: {name: sudoku}\ntrain:\n  stpes: 3",
            "recipe.yaml:3: train.stpes: unknown key; did you mean train.steps?",
        ),
        ("task: {name: sudoku}\ntrain: {steps: many}", "train.steps is 'many'"),
        ("task: {name: sudoku}\ntrain: {optimizer: {kind: sgd}}", "optimizer.kind is 'sgd'"),
        ("task: {name: sudoku}\ntrain: {steps: 3, epochs: 3}", "give steps or epochs, not both"),
        ("task: {name: sudoku}\npreset: smal", "preset is 'smal': did you mean small?"),
        ("task: {name: sudoku}\nmodel: {hiden_size: 3}", "did you mean model.hidden_size?"),
        ("tasks: []", "give a list of tasks"),
        ("about: nothing", "give task: or tasks:"),
        ("tasks: [{name: sudoku, weight: -1}]", "weight is -1"),
    ],
)
def test_a_wrong_recipe_is_one_line_with_the_remedy(text: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_recipe(parse_yaml(text, "recipe.yaml"))
    assert told in str(caught.value)


def test_a_recipe_of_another_task_is_refused() -> None:
    with pytest.raises(UserError, match="a recipe for sudoku, not for maze"):
        find_recipe("maze", "sudoku4")


def test_a_recipe_may_start_from_the_weights_of_a_model() -> None:
    recipe = find_recipe("deduce_sudoku9", None)
    assert recipe.start == "sudoku9"
    task = build_task(recipe)
    model = build_model(recipe, task.spec)
    shipped = load_published("sudoku9").model
    assert isinstance(shipped, HRM)
    own = model.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in shipped.state_dict().items())


def test_a_start_that_does_not_fit_is_refused_in_one_line() -> None:
    recipe = find_recipe("deduce_sudoku9", None, ["start=sudoku4", "model.hidden_size=16"])
    with pytest.raises(UserError, match=r"deduce_sudoku9: start is sudoku4: .* has shape"):
        build_model(recipe, build_task(recipe).spec)
    recipe = find_recipe("deduce_sudoku9", None, ["start=nowhere"])
    with pytest.raises(UserError, match="nowhere"):
        build_model(recipe, build_task(recipe).spec)


def test_deduction_keys_are_checked_like_the_others() -> None:
    assert find_recipe("deduce_sudoku9", None).train.deduction == DeductionConfig(
        loops=3, conflict_weight=0.75, fresh_carry=1.0
    )
    with pytest.raises(UserError, match=r"train\.deduction\.loop: unknown key; did you mean"):
        find_recipe("deduce_sudoku9", None, ["train.deduction.loop=3"])
    with pytest.raises(UserError, match=r"train\.deduction: deduction\.loops is 0"):
        find_recipe("deduce_sudoku9", None, ["train.deduction.loops=0"])
    with pytest.raises(UserError, match=r"train\.deduction\.pin is 'last'"):
        find_recipe("deduce_sudoku9", None, ["train.deduction.pin=last"])
