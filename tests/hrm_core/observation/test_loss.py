"""What a window teaches, against sums written out, and that it is learned."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch

from sage.hrm_core.model.recurrence import Carry
from sage.hrm_core.observation.loss import LossSettings, ObservationWindow, window_errors, window_loss
from sage.hrm_core.observation.model import Observation, ObservationModel

Build = Callable[..., ObservationModel]
Draw = Callable[..., ObservationWindow]
PLAIN = LossSettings(level=0.0, halt=0.0, huber_delta=None)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def at(window: ObservationWindow, tick: int) -> Observation:
    return Observation(
        **{field.name: getattr(window, field.name)[:, tick] for field in dataclasses.fields(Observation)}
    )


def patchy(window: ObservationWindow) -> ObservationWindow:
    """The same with sources that come and go, and a linear skip."""
    generator = seeded(5)
    shape = window.present.shape
    return dataclasses.replace(
        window,
        skip=0.1 * torch.randn(window.values.shape, generator=generator),
        present=torch.rand(shape, generator=generator) < 0.8,
        fresh=torch.rand(shape, generator=generator) < 0.6,
    )


@pytest.mark.parametrize("num_segments", [1, 2])
def test_the_prediction_loss_and_its_gradient_are_those_of_going_tick_by_tick(
    build_model: Build, phase_window: Draw, num_segments: int
) -> None:
    model = build_model(speaks=True)
    window = patchy(phase_window(model))
    carry, squares, count = Carry(z_H=window.z_H, z_L=window.z_L), [], 0
    for tick in range(window.num_ticks):
        for _ in range(num_segments):
            carry, output = model(carry, at(window, tick))
            if tick < 2:
                continue
            scored = (window.present[:, tick] & window.present[:, tick + 1] & window.fresh[:, tick + 1])[
                :, model.channel_source
            ]
            residual = (
                window.values[:, tick + 1] - window.values[:, tick] - window.skip[:, tick] - output.prediction
            )
            squares.append(residual[scored].square().sum())
            count += int(scored.sum())
    expected = torch.stack(squares).sum() / count
    loss, parts = window_loss(
        model,
        window,
        burn_in=2,
        num_segments=num_segments,
        mask_probability=0.0,
        generator=seeded(),
        settings=PLAIN,
    )
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(parts.prediction, expected.detach())
    names, parameters = zip(*model.named_parameters())
    for name, one, other in zip(
        names,
        torch.autograd.grad(loss, parameters, allow_unused=True),
        torch.autograd.grad(expected, parameters, allow_unused=True),
    ):
        if other is not None and other.count_nonzero():
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4, msg=name)


def test_a_far_residual_counts_linearly(build_model: Build, phase_window: Draw) -> None:
    model = build_model()
    window = phase_window(model, num_rows=1, num_ticks=1)
    window = dataclasses.replace(window, values=torch.tensor([[[0.0] * 6, [13.0, *[0.0] * 5]]]))
    loss, _ = window_loss(
        model, window, burn_in=0, num_segments=1, mask_probability=0.0, generator=seeded(),
        settings=LossSettings(level=0.0, halt=0.0, huber_delta=3.0),
    )  # fmt: skip
    assert float(loss.detach()) == pytest.approx((2 * 3 * 13 - 9) / 6)


def test_levels_are_judged_from_the_initial_carry_against_what_cross_left(
    build_model: Build, phase_window: Draw
) -> None:
    model = build_model(speaks=True)
    window = dataclasses.replace(phase_window(model), cross=torch.full((8, 9, 6), 0.25))
    _, parts = window_loss(
        model,
        window,
        burn_in=0,
        num_segments=1,
        mask_probability=1.0,
        generator=seeded(),
        settings=LossSettings(huber_delta=None),
    )
    blind = torch.zeros(8, 3, dtype=torch.bool)
    errors = []
    for tick in range(window.num_ticks):
        _, output = model(model.initial_carry(8), dataclasses.replace(at(window, tick), present=blind))
        errors.append((window.values[:, tick] - 0.25 - output.level).square().mean())
    torch.testing.assert_close(parts.level, torch.stack(errors).mean().detach())


def test_a_window_with_nothing_to_score_says_nan_and_teaches_nothing(
    build_model: Build, phase_window: Draw
) -> None:
    model = build_model()
    window = phase_window(model)
    window = dataclasses.replace(
        window, present=torch.zeros_like(window.present), values=window.values * torch.nan
    )
    loss, parts = window_loss(
        model, window, burn_in=0, num_segments=1, mask_probability=0.5, generator=seeded()
    )
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert all(math.isnan(float(getattr(parts, field.name))) for field in dataclasses.fields(parts))
    assert all(p.grad is None or p.grad.count_nonzero() == 0 for p in model.parameters())


def test_rewards_teach_value_and_action_and_their_absence_neither(
    build_model: Build, phase_window: Draw
) -> None:
    model = build_model()
    window = phase_window(model)
    _, without = window_loss(
        model, window, burn_in=0, num_segments=1, mask_probability=0.0, generator=seeded()
    )
    assert math.isnan(float(without.action))
    assert math.isnan(float(without.value))
    rewarded = dataclasses.replace(window, reward=torch.ones(8, 9), action=torch.full((8, 9, 2), 0.5))
    loss, with_reward = window_loss(
        model, rewarded, burn_in=0, num_segments=1, mask_probability=0.0, generator=seeded()
    )
    loss.backward()
    assert float(with_reward.value) > 0
    gradient = model.readout_bias.grad
    assert gradient[0] < 0  # descent raises the value
    assert (gradient[2:4] < 0).all()  # and the mean, towards what was done


def test_held_actions_teach_value_alone(build_model: Build, phase_window: Draw) -> None:
    model = build_model()
    window = phase_window(model)
    window = dataclasses.replace(window, reward=torch.ones(8, 9), action=torch.full((8, 9, 2), torch.nan))
    loss, _ = window_loss(model, window, burn_in=0, num_segments=1, mask_probability=0.0, generator=seeded())
    loss.backward()
    assert model.readout_bias.grad[0] < 0
    assert model.readout_bias.grad[2:].count_nonzero() == 0


def test_errors_are_those_of_the_model_of_its_skip_and_of_standing_still(
    build_model: Build, phase_window: Draw
) -> None:
    model = build_model()
    window = patchy(phase_window(model))
    errors = window_errors(model, window, burn_in=3, num_segments=2)
    residuals, changes = [], []
    for tick in range(3, window.num_ticks):
        scored = (window.present[0, tick] & window.present[0, tick + 1] & window.fresh[0, tick + 1])[
            model.channel_source
        ]
        change = (window.values[0, tick + 1] - window.values[0, tick])[scored]
        changes.append(change)
        residuals.append(change - window.skip[0, tick][scored])
    torch.testing.assert_close(errors.persistence[0], torch.cat(changes).square().mean())
    torch.testing.assert_close(errors.skip[0], torch.cat(residuals).square().mean())
    torch.testing.assert_close(errors.model, errors.skip)  # untrained: exactly its linear part
    assert int(errors.num_scored[0]) == len(torch.cat(changes))


def test_a_closed_gate_leaves_the_linear_part(build_model: Build, phase_window: Draw) -> None:
    model = build_model(speaks=True)
    window = patchy(phase_window(model))
    assert not torch.allclose(
        *(
            getattr(window_errors(model, window, burn_in=0, num_segments=1), name)
            for name in ("model", "skip")
        )
    )
    closed = window_errors(model, window, burn_in=0, num_segments=1, gate=torch.zeros(6))
    torch.testing.assert_close(closed.model, closed.skip)


def test_equal_seeds_give_equal_losses(build_model: Build, phase_window: Draw) -> None:
    model = build_model(speaks=True)
    window = phase_window(model)
    losses = [
        window_loss(model, window, burn_in=2, num_segments=1, mask_probability=0.3, generator=seeded(seed))[0]
        for seed in (1, 1, 2)
    ]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])


@pytest.mark.parametrize(
    ("burn_in", "num_segments", "field"), [(8, 1, "burn_in"), (-1, 1, "burn_in"), (0, 0, "num_segments")]
)
def test_a_window_too_short_is_named(
    build_model: Build, phase_window: Draw, burn_in: int, num_segments: int, field: str
) -> None:
    model = build_model()
    with pytest.raises(ValueError, match=field):
        window_errors(model, phase_window(model), burn_in=burn_in, num_segments=num_segments)


def test_sources_that_tell_of_each_other_are_learned(build_model: Build, phase_window: Draw) -> None:
    """Prediction beats its linear part, and the level of a hidden source comes from the others, on unseen
    rows.
    """
    model, generator = build_model(H_cycles=1, L_cycles=1), seeded(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(60):
        window = phase_window(model, num_rows=48, num_ticks=3, seed=step)
        loss, _ = window_loss(
            model, window, burn_in=1, num_segments=1, mask_probability=0.3, generator=generator
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    unseen = phase_window(model, num_rows=32, seed=999)
    errors = window_errors(model, unseen, burn_in=2, num_segments=1)
    assert float(errors.model.mean()) < 0.3 * float(errors.persistence.mean())
    _, parts = window_loss(
        model, unseen, burn_in=2, num_segments=1, mask_probability=0.2, generator=seeded(3)
    )
    assert float(parts.level) < 0.3 * float(unseen.values.square().mean())
