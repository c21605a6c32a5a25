"""Choices and episodes: what a window with resets teaches about acting."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig, ObservationFront
from sage.hrm_core.model.recurrence import Carry
from sage.hrm_core.observation.action import ActionPolicy, TanhGaussian, lambda_returns
from sage.hrm_core.observation.loss import window_errors, window_loss
from sage.hrm_core.observation.model import ObservationModel
from sage.hrm_core.observation.settings import LossSettings
from sage.hrm_core.observation.window import CUT_OFF, ENDED, ObservationWindow, unroll
from sage.sensors import environment

Build = Callable[..., ObservationModel]
Draw = Callable[..., ObservationWindow]


def choosing(num_actions: int = 2) -> ObservationModel:
    """A model that chooses one of its actions."""
    front = ObservationFront(source_dims=(3, 1, 2), num_actions=num_actions, choices=((0, num_actions),))
    config = ModelConfig.preset(
        "loop", front=front, hidden_size=16, num_heads=2, mlp_multiple=16, H_cycles=1, L_cycles=1
    )
    return ObservationModel(config, generator=torch.Generator().manual_seed(0))


def loss_of(
    model: ObservationModel, window: ObservationWindow, settings: LossSettings | None = None
) -> torch.Tensor:
    loss, _ = window_loss(
        model,
        window,
        burn_in=0,
        num_segments=1,
        mask_probability=0.0,
        generator=torch.Generator().manual_seed(0),
        settings=settings,
    )
    return loss


def reset_at(window: ObservationWindow, tick: int, kind: float) -> ObservationWindow:
    reset = torch.zeros(window.reward.shape)
    reset[:, tick] = kind
    return dataclasses.replace(window, reset=reset)


def test_both_floors_number_the_ends_of_episodes_alike() -> None:
    assert (ENDED, CUT_OFF) == (environment.ENDED, environment.CUT_OFF)


def test_a_choice_has_the_probability_of_its_softmax() -> None:
    policy = ActionPolicy(mean=torch.tensor([0.3, -1.0, 2.0]), log_std=torch.zeros(3), choices=((0, 3),))
    shares = torch.tensor([0.3, -1.0, 2.0]).softmax(0)
    for chosen in range(3):
        action = torch.full((3,), -1.0)
        action[chosen] = 1.0
        assert policy.log_prob(action).exp() == pytest.approx(float(shares[chosen]))
    assert policy.log_prob(torch.zeros(3)) == 0.0
    assert policy.entropy() == pytest.approx(float(-(shares * shares.log()).sum()))


def test_actions_beside_a_choice_stay_gaussian() -> None:
    mean, log_std = torch.tensor([0.3, -1.0, 2.0, 0.5]), torch.full((4,), -0.5)
    action = torch.tensor([-0.2, 1.0, -1.0, 0.6])
    mixed = ActionPolicy(mean=mean, log_std=log_std, choices=((1, 3),)).log_prob(action)
    plain = TanhGaussian(mean=mean[[0, 3]], log_std=log_std[[0, 3]]).log_prob(action[[0, 3]])
    assert mixed == pytest.approx(float(plain + mean[1:3].log_softmax(0)[0]))
    whole = ActionPolicy(mean=mean, log_std=log_std).log_prob(action)
    assert torch.equal(whole, TanhGaussian(mean=mean, log_std=log_std).log_prob(action))


def test_a_return_ends_with_its_episode() -> None:
    reward, value = torch.tensor([[0.0], [1.0], [2.0], [4.0]]), torch.full((4, 1), 10.0)
    is_end = torch.tensor([[False], [False], [True], [False]])
    found = lambda_returns(reward, value, discount=0.5, trace=1.0, is_end=is_end)
    assert found.squeeze(1).tolist() == [1.0 + 0.5 * 2.0, 2.0, 4.0 + 0.5 * 10.0]


def test_the_carry_starts_again_with_the_world(build_model: Build, phase_window: Draw) -> None:
    model = build_model(speaks=True, hidden_size=16, num_heads=2)
    window = reset_at(phase_window(model, num_rows=3), 4, ENDED)
    carries = list(unroll(model, window, window.present, num_ticks=8, num_segments=2))
    initial = model.initial_carry(3)
    is_initial = [torch.equal(carry.z_H, initial.z_H) for carry in carries]
    assert [index for index, start in enumerate(is_initial) if start] == [0, 4 * 2]
    _, after = model(initial, window.rows(4, 5, window.present))
    _, found = model(Carry(z_H=carries[8].z_H, z_L=carries[8].z_L), window.rows(4, 5, window.present))
    assert torch.equal(found.prediction, after.prediction)


def test_the_first_readings_of_an_episode_are_not_predicted(build_model: Build, phase_window: Draw) -> None:
    model = build_model()
    window = phase_window(model, num_rows=2)
    whole = window_errors(model, window, burn_in=0, num_segments=1).num_scored
    parted = window_errors(model, reset_at(window, 4, ENDED), burn_in=0, num_segments=1).num_scored
    assert (whole - parted).tolist() == [window.values.shape[-1]] * 2


def test_an_end_lowers_the_value_and_a_cut_does_not(phase_window: Draw) -> None:
    model = choosing()
    with torch.no_grad():
        model.readout_bias[0] = 3.0  # of every state
    window = dataclasses.replace(phase_window(model), reward=torch.zeros(8, 9))
    gradients = []
    for kind in (ENDED, CUT_OFF):
        model.zero_grad()
        loss_of(model, reset_at(window, 8, kind)).backward()
        gradients.append(float(model.readout_bias.grad[0]))
    assert gradients[0] > 2 * gradients[1] > 0


def test_a_choice_that_was_rewarded_becomes_likely(phase_window: Draw) -> None:
    model = choosing(3)
    window = phase_window(model, num_rows=16)
    chosen = torch.randint(3, (16, 9), generator=torch.Generator().manual_seed(1))
    action = 2.0 * torch.nn.functional.one_hot(chosen, 3).float() - 1.0
    reward = torch.zeros(16, 9)
    reward[:, 1:] = (chosen[:, :-1] == 2).float()
    window = dataclasses.replace(window, action=action, reward=reward)
    optimizer = torch.optim.Adam([model.readout_weight, model.readout_bias], lr=0.2)
    for _ in range(10):
        optimizer.zero_grad()
        loss_of(model, window).backward()
        optimizer.step()
    _, output = model(model.initial_carry(16), window.rows(0, 1, window.present))
    assert output.action_mean.softmax(-1)[:, 2].min() > 0.6


@pytest.mark.parametrize("choices", [((0, 1),), ((0, 3),), ((1, 3), (0, 2))])
def test_groups_that_do_not_fit_are_refused(choices: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(InputError, match="choices"):
        ObservationFront(source_dims=(1,), num_actions=2, choices=choices)


def test_choices_are_part_of_a_config_only_where_there_are_any() -> None:
    plain = choosing().config.to_plain()
    assert ModelConfig.from_plain(plain).front == choosing().config.front
    without = ModelConfig.preset("loop", front=ObservationFront(source_dims=(1,), num_actions=2))
    assert "choices" not in without.to_plain()["front"]


def in_two_worlds(*, is_recurrent: bool = False) -> ObservationModel:
    """Sources 0 and 1 are each of one world, as actions 0 and 2; source 2 and action 1 are of none."""
    front = ObservationFront(
        source_dims=(3, 1, 2),
        num_actions=3,
        num_worlds=2,
        source_worlds=(0, 1, -1),
        action_worlds=(0, -1, 1),
    )
    config = ModelConfig.preset(
        "loop", front=front, hidden_size=16, num_heads=2, mlp_multiple=16, is_recurrent=is_recurrent
    )
    return ObservationModel(config, generator=torch.Generator().manual_seed(0))


def two_rewards(window: ObservationWindow, *, other: float, end: int | None) -> ObservationWindow:
    """World 0 has rewards of its own; world 1 has `other` at each tick, and ends at the tick `end`."""
    generator = torch.Generator().manual_seed(1)
    reward = torch.full((8, 9, 2), other)
    reward[..., 0] = torch.rand(8, 9, generator=generator)
    reset = torch.zeros(8, 9, 2)
    if end is not None:
        reset[:, end, 1] = ENDED
    action = torch.rand(8, 9, 3, generator=generator) - 0.5
    return dataclasses.replace(window, reward=reward, reset=reset, action=action)


def readout_gradients(model: ObservationModel, window: ObservationWindow) -> torch.Tensor:
    """Rows: values of worlds 0 and 1, halting, means of the actions, their deviations."""
    model.zero_grad()
    loss_of(model, window, LossSettings(prediction=0.0, level=0.0, halt=0.0)).backward()
    return torch.cat((model.readout_weight.grad, model.readout_bias.grad[:, None]), dim=1)


def test_what_happens_in_a_world_changes_nothing_that_another_learns(phase_window: Draw) -> None:
    """Of a model without nets, whose outputs are those of one tick's readings."""
    model = in_two_worlds()
    plain = phase_window(model)
    alone = readout_gradients(model, two_rewards(plain, other=0.0, end=None))
    for other, end in ((5.0, None), (0.0, 4), (5.0, 4), (float("nan"), None)):
        beside = readout_gradients(model, two_rewards(plain, other=other, end=end))
        count = 1.0 if other == other else 2.0  # the mean is over half as many values
        torch.testing.assert_close(beside[0], alone[0] * count)
        torch.testing.assert_close(beside[3], alone[3])  # the action of world 0
        torch.testing.assert_close(beside[6], alone[6])
    changed = readout_gradients(model, two_rewards(plain, other=5.0, end=4))
    assert not torch.allclose(changed[1], alone[1])
    assert not torch.allclose(changed[4], alone[4])  # the action of none is credited with both


def test_the_carry_of_a_world_starts_again_alone(phase_window: Draw) -> None:
    model = in_two_worlds(is_recurrent=True)
    carry, _ = model(
        model.initial_carry(2), phase_window(model, num_rows=2).rows(0, 1, torch.ones(2, 9, 3) > 0)
    )
    initial = model.initial_carry(2)
    after = model.start_again(carry, torch.tensor([[False, True], [True, True]]))
    for then, start, now in zip((carry.z_H, carry.z_L), (initial.z_H, initial.z_L), (after.z_H, after.z_L)):
        torch.testing.assert_close(now[0, [0, 2, 3, 4]], then[0, [0, 2, 3, 4]])
        torch.testing.assert_close(now[0, 1], start[0, 1])
        torch.testing.assert_close(now[1], start[1])  # both worlds: what they share too


def test_readings_of_other_worlds_are_predicted_across_an_end(phase_window: Draw) -> None:
    model = in_two_worlds()
    window = two_rewards(phase_window(model), other=0.0, end=None)
    whole = window_errors(model, window, burn_in=0, num_segments=1).num_scored
    window = two_rewards(window, other=0.0, end=4)
    parted = window_errors(model, window, burn_in=0, num_segments=1).num_scored
    assert (whole - parted).tolist() == [1] * 8  # the one channel of source 1


def test_worlds_are_part_of_a_config_only_where_there_are_several() -> None:
    config = in_two_worlds().config
    assert ModelConfig.from_plain(json.loads(json.dumps(config.to_plain()))) == config
    assert "num_worlds" not in choosing().config.to_plain()["front"]


@pytest.mark.parametrize(
    "worlds",
    [
        {"num_worlds": 0},
        {"source_worlds": (0,)},
        {"num_worlds": 2, "action_worlds": (0,)},
        {"num_worlds": 2, "source_worlds": (2,), "action_worlds": (0,)},
        {"num_worlds": 2, "source_worlds": (-1,), "action_worlds": (0,)},
        {"num_worlds": 2, "source_worlds": (0,)},
    ],
)
def test_worlds_that_do_not_fit_are_refused(worlds: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="worlds is"):
        ObservationFront(source_dims=(1,), num_actions=1, **worlds)
