"""The action rule proved where it can be: a short run of examples/reach.py gets better, and the same way
twice.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

EXAMPLE = Path(__file__).parents[2] / "examples" / "reach.py"


@pytest.fixture(scope="module")
def reach() -> ModuleType:
    sys.path.insert(0, str(EXAMPLE.parent))  # the example imports its neighbours, as a script does
    spec = importlib.util.spec_from_file_location("reach_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def train(reach: ModuleType, num_iterations: int) -> object:
    model = reach.build_model(0)
    reach.train(
        model,
        num_iterations=num_iterations,
        generator=torch.Generator().manual_seed(0),
        num_arms=32,
        num_updates=12,
    )
    return model


def test_the_arm_reaches_where_it_is_bent_to(reach: ModuleType) -> None:
    angles = torch.tensor([[0.0, 0.0], [torch.pi / 2, -torch.pi / 2]])
    world = reach.Reach(angles=angles, target=torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    torch.testing.assert_close(world.distance, torch.zeros(2), atol=1e-6, rtol=0.0)


def test_an_untrained_arm_stays_where_it_is(reach: ModuleType) -> None:
    assert reach.examine(reach.build_model(0), 7).mean_return == 0.0


def test_a_few_rounds_of_practice_pay(reach: ModuleType) -> None:
    random = reach.examine(reach.build_model(0), 7, is_random=True)
    trained = reach.examine(train(reach, 9), 7)
    assert abs(random.mean_return) < 0.5
    assert trained.mean_return > 2.0


def test_equal_seeds_learn_equal_weights(reach: ModuleType) -> None:
    one, other = (train(reach, 1).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
