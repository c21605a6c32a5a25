"""A training recipe: task, model and how it is trained, from a YAML file and what was typed beside it.

Invariant: a Recipe is complete and valid but for the task's own options, which the task checks. Whatever is
wrong is a
UserError that names the place, the key and the remedy. Imports no torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from sage.app.config.errors import key_path
from sage.app.config.names import check_name, shipped_recipes
from sage.app.config.overrides import apply_overrides
from sage.app.config.yaml_file import YamlDocument, read_yaml
from sage.app.terminal.errors import UserError, nearest
from sage.errors import SageError
from sage.hrm_core.config.fronts import TokenFront
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.deduction_config import DeductionConfig

#: What learns small puzzles on a CPU in minutes; a recipe says otherwise.
CPU_TRAINING = TrainConfig(
    steps=1000,
    cross_entropy="softmax",
    clip_norm=1.0,
    ema_decay=0.99,
    # at the published 0.5 halting outweighs the puzzle: 10x10 mazes 96% at 16 segments, and 92
    q_weight=0.05,
    optimizer=OptimizerConfig(kind="muon", lr=1e-2, weight_decay=0.1, warmup_steps=50, min_lr_ratio=0.05),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPart:
    """One task of a recipe. weight: its share of a mixture's rows, before they are made to add up to 1."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """about: one line.  tasks: one, or a mixture.  vocabulary: of a mixture, "joined" or "offset".

    preset, model, front: ModelConfig's preset, changes to it, and changes to its TokenFront.
    needs_data: what `--data` must be given, empty where the puzzles are made fresh.
    start: a model whose weights the run starts from (a shipped name, a folder, a file); empty: random ones.
    """

    name: str
    tasks: tuple[TaskPart, ...]
    about: str = ""
    vocabulary: str = "joined"
    preset: str = "small"
    model: dict[str, Any] = field(default_factory=dict)
    front: dict[str, Any] = field(default_factory=dict)
    train: TrainConfig = CPU_TRAINING
    needs_data: str = ""
    start: str = ""

    @property
    def is_mixture(self) -> bool:
        return len(self.tasks) > 1


def find_recipe(task: str | None, config: str | None, overrides: Sequence[str] = ()) -> Recipe:
    """The file, of the task where one is named; or the shipped recipe of that name; or a task of the
    catalogue by itself, trained with CPU_TRAINING."""
    if config is not None:
        document = read_yaml(_find_file(config))
        apply_overrides(document, overrides)
        recipe = parse_recipe(document)
        if task is not None and task not in (recipe.name, *(part.name for part in recipe.tasks)):
            names = " and ".join(part.name for part in recipe.tasks)
            raise UserError(
                f"{config}: a recipe for {names}, not for {task}: name its task, or give another --config"
            )
        return recipe
    assert task is not None
    if task in shipped_recipes():
        return find_recipe(task, str(shipped_recipes()[task]), overrides)
    from sage.hrm_core.tasks.catalogue import targets

    if task not in targets():
        check_name("recipe", task)
        raise UserError(f"{task}: no such task or recipe: {nearest(task, {*targets(), *shipped_recipes()})}")
    document = YamlDocument(data={"task": {"name": task}}, source="--set")
    apply_overrides(document, overrides)
    return parse_recipe(document)


def parse_recipe(document: YamlDocument) -> Recipe:
    """Validate a document. Keys: about, needs_data, task or tasks, vocabulary, preset, model, front,
    start, train.
    """
    data = dict(document.data)
    known = {
        "about",
        "needs_data",
        "task",
        "tasks",
        "vocabulary",
        "preset",
        "model",
        "front",
        "start",
        "train",
    }
    _refuse_unknown(data, known, (), document)
    if ("task" in data) == ("tasks" in data):
        raise UserError(f"{document.source}: give task: or tasks:, one of the two")
    given = data["tasks"] if "tasks" in data else [data["task"]]
    if not isinstance(given, list) or not given:
        raise UserError(f"{document.where(('tasks',))}: tasks: give a list of tasks, each with a name")
    tasks = tuple(_task_part(item, document) for item in given)
    for key in ("model", "front", "train"):
        if not isinstance(data.get(key, {}), dict):
            raise UserError(f"{document.where((key,))}: {key}: give keys with values")
    if data.get("vocabulary", "joined") not in ("joined", "offset"):
        raise UserError(
            f"{document.where(('vocabulary',))}: vocabulary is {data['vocabulary']!r}: give joined or offset"
        )
    from sage.hrm_core.config.model import ModelConfig
    from sage.hrm_core.config.presets import preset_names

    preset = data.get("preset", "small")
    if preset not in preset_names():
        raise UserError(
            f"{document.where(('preset',))}: preset is {preset!r}: {nearest(str(preset), preset_names())}"
        )
    for key, kind in (("model", ModelConfig), ("front", TokenFront)):
        _refuse_unknown(
            data.get(key, {}), {each.name for each in dataclasses.fields(kind)} - {"front"}, (key,), document
        )
    name = Path(document.source).stem if document.source != "--set" else tasks[0].name
    return Recipe(
        name=name,
        about=str(data.get("about", "")),
        needs_data=str(data.get("needs_data", "")),
        tasks=tasks,
        vocabulary=data.get("vocabulary", "joined"),
        preset=preset,
        model=data.get("model", {}),
        front=data.get("front", {}),
        start=str(data.get("start") or ""),
        train=_train_config(data.get("train", {}), document),
    )


def _train_config(given: Mapping[str, Any], document: YamlDocument) -> TrainConfig:
    """CPU_TRAINING's settings, with what is given in their place; deduction's own defaults, likewise."""
    _refuse_unknown(given, {each.name for each in dataclasses.fields(TrainConfig)}, ("train",), document)
    optimizer = given.get("optimizer", {})
    if not isinstance(optimizer, dict):
        raise UserError(f"{document.where(('train', 'optimizer'))}: train.optimizer: give keys with values")
    names = {each.name for each in dataclasses.fields(OptimizerConfig)}
    _refuse_unknown(optimizer, names, ("train", "optimizer"), document)
    deduction = given.get("deduction")
    if not isinstance(deduction, (dict, type(None))):
        raise UserError(f"{document.where(('train', 'deduction'))}: train.deduction: give keys with values")
    length = {"steps": None} if "epochs" in given and "steps" not in given else {}
    settings = {**length, **given}
    settings["optimizer"] = _typed(
        OptimizerConfig, CPU_TRAINING.optimizer, optimizer, ("train", "optimizer"), document
    )
    if deduction is not None:
        path = ("train", "deduction")
        _refuse_unknown(
            deduction, {each.name for each in dataclasses.fields(DeductionConfig)}, path, document
        )
        settings["deduction"] = _typed(DeductionConfig, DeductionConfig(), deduction, path, document)
    config: TrainConfig = _typed(TrainConfig, CPU_TRAINING, settings, ("train",), document)
    return config


def _typed(
    kind: type, base: Any, given: Mapping[str, Any], path: tuple[str, ...], document: YamlDocument
) -> Any:
    """`base` with the given values, each checked against its field's type; the dataclass's own checks come
    last.
    """
    hints = get_type_hints(kind)
    values = {key: _checked(value, hints[key], (*path, key), document) for key, value in given.items()}
    try:
        return dataclasses.replace(base, **values)
    except SageError as error:
        raise UserError(f"{document.where(path)}: {'.'.join(path)}: {error}") from None


def _checked(value: Any, hint: Any, path: tuple[str, ...], document: YamlDocument) -> Any:
    if dataclasses.is_dataclass(value):
        return value
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        wanted = error.errors(include_url=False)[0]["msg"].removeprefix("Input should be ")
        raise UserError(f"{document.where(path)}: {'.'.join(path)} is {value!r}: give {wanted}") from None


def _task_part(item: Any, document: YamlDocument) -> TaskPart:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise UserError(f"{document.where(('task',))}: task: no name: give name: and the task's own options")
    weight = item.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or weight <= 0:
        raise UserError(
            f"{document.where(('tasks',))}: tasks.{item['name']}.weight is {weight!r}: give a number above 0"
        )
    options = {key: value for key, value in item.items() if key not in ("name", "weight")}
    return TaskPart(name=item["name"], options=options, weight=float(weight))


def _refuse_unknown(
    given: Mapping[str, Any], known: set[str], path: tuple[str, ...], document: YamlDocument
) -> None:
    for key in given:
        if key not in known:
            at = (*path, key)
            prefix = f"{'.'.join(path)}." if path else ""
            raise UserError(
                f"{document.where(at)}: {key_path(at, document)}: unknown key;"
                f" {nearest(str(key), known, prefix=prefix)}"
            )


def _find_file(config: str) -> Path:
    given = Path(config).expanduser()
    if given.exists():
        return given
    if given.name.removesuffix(".yaml") in shipped_recipes() and given.parent in (
        Path(),
        Path("configs/train"),
    ):
        return shipped_recipes()[given.name.removesuffix(".yaml")]
    raise UserError(
        f"{config}: no such file: give a path, or a shipped recipe: {', '.join(shipped_recipes())}"
    )
