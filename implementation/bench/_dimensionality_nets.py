"""The nets whose states `sage bench dimensionality` measures: shipped, untrained, trained here, and trained
on labels of other puzzles.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.tasks.contract import Examples, Task, TaskSpec

RECIPE = "sudoku6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """shape: what nets are compared within.  kind: shipped, trained, labels shuffled, or untrained."""

    shape: str
    kind: str
    seed: int
    task: Task
    model: HRM
    cpu_secs: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """States of z_H or of z_L at the same N puzzles and K of their cells.

    cells: (T, N, K, V, D) after each of T segments; a cell has V tokens, one for each candidate.
    mean: (N, V x D) over all cells of a puzzle, after the last segment.
    """

    cells: np.ndarray
    mean: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """exact: share of puzzles that the last answer solves."""

    high: Level
    low: Level
    exact: float


class ShuffledLabels:
    """`task` that trains on the labels of other puzzles of the same batch."""

    def __init__(self, task: Task) -> None:
        self._task = task

    @property
    def spec(self) -> TaskSpec:
        return self._task.spec

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        rows = self._task.sample(num, rng)
        return dataclasses.replace(rows, labels=rows.labels[rng.permutation(num)])

    def held_out(self, num: int) -> Examples:
        return self._task.held_out(num)

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return self._task.verify(inputs, answers)


def shipped(name: str) -> Net:
    from sage.hrm_core.solving.published import load_published

    found = load_published(name)
    assert isinstance(found.model, HRM)
    assert found.task is not None
    return Net(shape=f"{name}, one net", kind="shipped", seed=0, task=found.task, model=found.model)


def untrained(like: Net, seed: int) -> Net:
    """The same shape with the weights that training would start from."""
    model = HRM(like.model.config, generator=torch.Generator().manual_seed(seed)).eval()
    return dataclasses.replace(like, kind="untrained", seed=seed, model=model, cpu_secs=None)


def trained(seed: int, *, has_two_nets: bool, is_shuffled: bool, steps: int | None) -> Net:
    """By the recipe of the shipped sudoku6, with a net for each level as in the paper, or one for both."""
    from sage.app.models.training.recipe import find_recipe
    from sage.hrm_core.config.fronts import TokenFront
    from sage.hrm_core.config.model import ModelConfig
    from sage.hrm_core.tasks.catalogue import make_task
    from sage.hrm_core.training.trainer import Trainer

    recipe = find_recipe(RECIPE, None)
    task = make_task(recipe.tasks[0].name, **recipe.tasks[0].options)
    config = dataclasses.replace(shipped(RECIPE).model.config, shares_nets=not has_two_nets)
    assert isinstance(config, ModelConfig)
    assert isinstance(config.front, TokenFront)
    model = HRM(config, generator=torch.Generator().manual_seed(seed))
    changes: dict[str, Any] = {"seed": seed, "eval_examples": 1, "eval_segments": (1,)}
    training = dataclasses.replace(recipe.train, **changes, **({} if steps is None else {"steps": steps}))
    learned: Task = ShuffledLabels(task) if is_shuffled else task
    ended = Trainer(model, learned, training).train()
    shape = f"{RECIPE}, {'two nets' if has_two_nets else 'one net'}"
    kind = "labels shuffled" if is_shuffled else "trained"
    return Net(shape=shape, kind=kind, seed=seed, task=task, model=model.eval(), cpu_secs=ended.cpu_secs)


@torch.inference_mode()
def states_of(net: Net, num_puzzles: int, num_segments: int, num_cells: int, *, batch: int = 100) -> States:
    """Of held-out puzzles and random cells, the same for every net of a task; without halting."""
    from sage.hrm_core.config.fronts import TokenFront

    front, examples = net.model.config.front, net.task.held_out(num_puzzles)
    assert isinstance(front, TokenFront)
    generator = np.random.default_rng(2)
    chosen = np.stack([generator.permutation(front.seq_len)[:num_cells] for _ in range(len(examples))])
    parts: list[tuple[Level, Level]] = []
    answers = []
    for start in range(0, len(examples), batch):
        inputs = torch.from_numpy(examples.inputs[start : start + batch])
        rows = TokenBatch(inputs=inputs, labels=inputs, puzzle_ids=torch.full((len(inputs),), -1))
        at = (torch.arange(len(inputs))[:, None], torch.from_numpy(chosen[start : start + batch]))
        carry, high, low = net.model.initial_carry(len(inputs)), [], []
        for _ in range(num_segments):
            carry, output = net.model.segment(carry, rows)
            both = [each.float().unflatten(1, (front.seq_len, -1)) for each in (carry.z_H, carry.z_L)]
            high.append(both[0][at].numpy())
            low.append(both[1][at].numpy())
        means = [each.mean(dim=1).flatten(1).numpy() for each in both]
        parts.append((Level(cells=np.stack(high), mean=means[0]), Level(cells=np.stack(low), mean=means[1])))
        assert output.logits is not None
        answers.append(output.logits.argmax(-1).numpy().astype(np.int32))
    return States(
        high=_joined([high for high, _ in parts]),
        low=_joined([low for _, low in parts]),
        exact=float(net.task.verify(examples.inputs, np.concatenate(answers)).mean()),
    )


def _joined(parts: list[Level]) -> Level:
    return Level(
        cells=np.concatenate([part.cells for part in parts], axis=1),
        mean=np.concatenate([part.mean for part in parts]),
    )
