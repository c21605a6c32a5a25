"""The sensor front end: silent at first, blind to what is absent, equal to its equations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sage.hrm_core.config.model import ModelConfig, ObservationFront
from sage.hrm_core.observation.model import FEATURE_LIMIT, Observation, ObservationModel

Build = Callable[..., ObservationModel]
SPANS = ((0, 3), (3, 4), (4, 6))  # the channels of each source


def observe(num_rows: int = 4, **changes: Tensor) -> Observation:
    generator = torch.Generator().manual_seed(11)
    per_channel = torch.randn(4, num_rows, 6, generator=generator)
    observation = Observation(
        values=per_channel[0],
        deltas=per_channel[1],
        skip=per_channel[2],
        cross=per_channel[3],
        present=torch.ones(num_rows, 3, dtype=torch.bool),
        fresh=torch.rand(num_rows, 3, generator=generator) < 0.5,
        age_secs=torch.rand(num_rows, 3, generator=generator),
        weight=torch.rand(num_rows, 3, generator=generator),
    )
    return dataclasses.replace(observation, **changes)


def without(source: int, num_rows: int = 4) -> Tensor:
    present = torch.ones(num_rows, 3, dtype=torch.bool)
    present[:, source] = False
    return present


def test_an_untrained_model_proposes_exactly_nothing(build_model: Build) -> None:
    model = build_model()
    carry = model.initial_carry(4, "cpu")
    for _ in range(3):
        carry, output = model(carry, observe())
        for head in (output.prediction, output.level, output.value, output.action_mean):
            assert head.count_nonzero() == 0
        assert (output.q_halt == -5.0).all()
        assert output.action_log_std.exp().allclose(torch.tensor(0.5))


def test_shapes_are_the_contract(build_model: Build) -> None:
    model = build_model()
    carry, output = model(model.initial_carry(4), observe())
    assert carry.z_H.shape == carry.z_L.shape == (4, 5, 32)
    assert output.prediction.shape == output.level.shape == (4, 6)
    assert output.value.shape == (4, 1)
    assert output.q_halt.shape == (4,)
    assert output.action_mean.shape == output.action_log_std.shape == (4, 2)
    assert output.logits is None
    assert output.q_continue is None


def test_a_model_without_actions_has_no_action_heads() -> None:
    model = ObservationModel(ModelConfig.preset("loop", front=ObservationFront(source_dims=(3, 1, 2))))
    _, output = model(model.initial_carry(4), observe())
    assert output.action_mean is None
    assert output.value.shape == (4, 1)


def test_tokens_are_their_equation_source_by_source(build_model: Build) -> None:
    model, o = build_model(), observe(present=without(1))
    model.note_residuals(torch.linspace(0.1, 0.9, 6))
    tokens = model._tokens(o)
    for source, (first, last) in enumerate(SPANS):
        features = torch.zeros(4, 8)  # two parts padded to the widest source's 3 channels, fresh, age
        for part, values in enumerate((o.values, o.deltas / model.residual_scale)):
            features[:, 3 * part : 3 * part + last - first] = values[:, first:last]
        features[:, 6], features[:, 7] = o.fresh[:, source].float(), (1 + o.age_secs[:, source]).log()
        evidence = features @ model.source_weight[source] + model.source_bias[source]
        expected = model.source_token[source] + (o.weight[:, source, None] * evidence if source != 1 else 0.0)
        torch.testing.assert_close(tokens[:, source], expected.expand(4, -1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens[0, 3:], model.extra_tokens[:, 0])


def test_the_skip_says_nothing_to_the_model(build_model: Build) -> None:
    """It is made of every source's readings, masked ones too."""
    model, o = build_model(speaks=True), observe()
    _, said = model(model.initial_carry(4), o)
    _, same = model(model.initial_carry(4), dataclasses.replace(o, skip=torch.full_like(o.skip, torch.nan)))
    assert torch.equal(said.prediction, same.prediction)
    assert torch.equal(said.level, same.level)


def test_predictions_are_in_units_of_what_the_skip_left(build_model: Build) -> None:
    model, o = build_model(speaks=True), dataclasses.replace(observe(), deltas=torch.zeros(4, 6))
    _, before = model(model.initial_carry(4), o)
    model.note_residuals(torch.tensor([0.04, *[torch.nan] * 5]))
    _, after = model(model.initial_carry(4), o)
    torch.testing.assert_close(model.residual_scale, torch.tensor([0.2, 1.0, 1.0, 1.0, 1.0, 1.0]))
    torch.testing.assert_close(after.prediction, before.prediction * model.residual_scale)


def test_each_channel_reads_its_own_head(build_model: Build) -> None:
    model, o = build_model(speaks=True), observe()
    carry, output = model(model.initial_carry(4), o)
    for source, (first, last) in enumerate(SPANS):
        heads = carry.z_H[:, source] @ model.head_weight[source]
        torch.testing.assert_close(
            output.prediction[:, first:last], heads[:, : last - first], atol=1e-5, rtol=1e-5
        )
        level = heads[:, 3 : 3 + last - first] + model.cross_weight[first:last] * o.cross[:, first:last]
        torch.testing.assert_close(output.level[:, first:last], level, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("source", [0, 1, 2])
def test_nothing_changes_when_an_absent_source_says_something_else(build_model: Build, source: int) -> None:
    model = build_model(speaks=True)
    own = slice(*SPANS[source])
    calm = observe(present=without(source))
    wild = {
        name: getattr(calm, name).clone()
        for name in ("values", "deltas", "skip", "age_secs", "weight", "fresh")
    }
    for name in ("values", "deltas", "skip"):
        wild[name][:, own] = torch.nan
    wild["age_secs"][:, source], wild["weight"][:, source] = torch.inf, torch.nan
    wild["fresh"][:, source] = ~wild["fresh"][:, source]
    carry, other = model.initial_carry(4), model.initial_carry(4)
    for _ in range(3):
        carry, said = model(carry, calm)
        other, same = model(other, dataclasses.replace(calm, **wild))
    assert torch.equal(carry.z_H, other.z_H)
    assert torch.equal(said.level, same.level)
    assert torch.equal(said.prediction, same.prediction)


@pytest.mark.parametrize("source", [0, 1, 2])
def test_no_gradient_leads_from_an_absent_source_to_any_output(build_model: Build, source: int) -> None:
    model = build_model(speaks=True, gradient="full")
    o = observe(present=without(source))
    inputs = [getattr(o, name).requires_grad_() for name in ("values", "deltas")]
    _, output = model(model.initial_carry(4), o)
    total = sum(getattr(output, name).sum() for name in ("prediction", "level", "value", "action_mean"))
    for gradient in torch.autograd.grad(total, inputs):
        own = torch.zeros(6, dtype=torch.bool)
        own[slice(*SPANS[source])] = True
        assert gradient[:, own].count_nonzero() == 0
        assert (gradient[:, ~own] != 0).all()


def test_the_estimate_of_one_source_reaches_only_its_own_level(build_model: Build) -> None:
    model, o = build_model(speaks=True, gradient="full"), observe()
    cross = o.cross.requires_grad_()
    carry, output = model(model.initial_carry(4), o)
    for channel in range(6):
        (gradient,) = torch.autograd.grad(output.level[:, channel].sum(), cross, retain_graph=True)
        assert gradient[:, [i for i in range(6) if i != channel]].count_nonzero() == 0
    assert torch.autograd.grad(output.prediction.sum(), cross, allow_unused=True)[0] is None
    assert not carry.z_H.requires_grad


def test_distrust_leads_to_absence(build_model: Build) -> None:
    model, weight = build_model(speaks=True), torch.ones(4, 3)
    weight[:, 2] = 0.0
    _, distrusted = model(model.initial_carry(4), observe(weight=weight))
    _, absent = model(model.initial_carry(4), observe(weight=torch.ones(4, 3), present=without(2)))
    torch.testing.assert_close(distrusted.prediction, absent.prediction)


def test_a_spike_counts_no_more_than_the_limit(build_model: Build) -> None:
    model, values = build_model(speaks=True), torch.zeros(4, 6)
    values[:, 0] = FEATURE_LIMIT
    _, at_limit = model(model.initial_carry(4), observe(values=values))
    _, beyond = model(model.initial_carry(4), observe(values=values * 1000))
    assert torch.equal(at_limit.prediction, beyond.prediction)


def test_rows_do_not_know_each_other(build_model: Build) -> None:
    model, o = build_model(speaks=True), observe()
    _, together = model(model.initial_carry(4), o)
    alone = Observation(**{field.name: getattr(o, field.name)[2:3] for field in dataclasses.fields(o)})
    _, single = model(model.initial_carry(1), alone)
    torch.testing.assert_close(together.prediction[2:3], single.prediction, atol=1e-6, rtol=1e-5)


def test_equal_seeds_think_equal_thoughts(build_model: Build) -> None:
    results = [
        model(model.initial_carry(4), observe())[0].z_H
        for model in (build_model(seed=3), build_model(seed=3))
    ]
    assert torch.equal(*results)
    other = build_model(seed=4)
    assert not torch.equal(results[0], other(other.initial_carry(4), observe())[0].z_H)


def test_a_puzzle_front_is_refused_with_the_front_it_needs() -> None:
    with pytest.raises(TypeError, match="ObservationFront"):
        ObservationModel(ModelConfig.preset("trm-7m"))


def test_without_recurrence_everything_is_linear_in_the_features_and_there_are_no_nets() -> None:
    front = ObservationFront(source_dims=(3, 1, 2), num_actions=2)
    config = ModelConfig.preset(
        "loop", front=front, hidden_size=16, num_heads=2, mlp_multiple=8, is_recurrent=False
    )
    assert ModelConfig.from_plain(config.to_plain()) == config
    model = ObservationModel(config, generator=torch.Generator().manual_seed(0))
    assert not model.nets
    assert not [name for name, _ in model.named_parameters() if "level" in name]
    given = observe(2, age_secs=torch.zeros(2, 3), fresh=torch.zeros(2, 3, dtype=torch.bool))
    found = []
    with torch.no_grad():
        model.readout_weight.normal_()
        model.head_weight.normal_()
        for scale in (0.0, 1.0, 2.0):
            scaled = {name: scale * getattr(given, name) for name in ("values", "deltas", "cross")}
            carry, output = model(model.initial_carry(2), dataclasses.replace(given, **scaled))
            assert carry.z_H.shape == (2, 5, 16)
            assert output.action_mean is not None
            assert output.prediction is not None
            found.append((output.action_mean, output.prediction))
    for zero, one, two in zip(*found):
        assert not torch.equal(zero, one)
        assert torch.allclose(two - zero, 2 * (one - zero), atol=1e-4)
