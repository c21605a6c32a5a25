"""A group's plan: places in the state, common errors, and configurations that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.measurements_config import MeasurementConfig
from sage.runtime.trust.commensurable.plan import MeasurementPlan, plan_of
from sage.sensors.contract import SensorSpec


def spec(name: str, size: int = 2, unit: str = "m", **changed: Any) -> SensorSpec:
    given = {"modality": "physical", "tensor": TensorSpec(shape=(size,)), "period_ns": 50_000_000} | changed
    return SensorSpec(name=name, observes=("position", unit), **given)


def plan(specs: list[SensorSpec], sources: list[Any] | None = None, **changed: Any) -> MeasurementPlan:
    given = {"name": "p", "sources": sources or [each.name for each in specs], "motion_std": 0.5} | changed
    return plan_of(MeasurementConfig.model_validate(given), {each.name: each for each in specs})


def test_the_estimate_is_a_source_derived_from_the_others() -> None:
    found = plan([spec("gps", channels=("east", "north"), period_ns=10**9), spec("beacon")]).spec
    assert (found.name, found.tensor.shape, found.observes) == ("p", (2,), ("fused position", "m"))
    assert (found.lineage, found.channels) == (("gps", "beacon"), ("east", "north"))
    assert (found.modality, found.period_ns, found.is_bounded) == ("temporal", 50_000_000, True)


def test_channels_and_rates_have_their_rows() -> None:
    sources = [
        "gps",
        {"name": "height", "channels": [1]},
        {"name": "wheel", "measures": "rate", "channels": [0]},
    ]
    found = plan(
        [spec("gps"), spec("height", 1), spec("wheel", 1, unit="m/s")], sources, motion="constant_velocity"
    )
    expected = np.zeros((3, 2, 4))
    expected[0, 0, 0] = expected[0, 1, 1] = expected[1, 0, 1] = expected[2, 0, 2] = 1
    np.testing.assert_array_equal(found.matrix(), expected)


def test_motion_in_two_steps_is_motion_in_one() -> None:
    for motion in ("constant", "constant_velocity"):
        made = plan([spec("a"), spec("b")], motion=motion)
        (whole, noise), (first, before), (second, after) = map(made.transition, (0.5, 0.2, 0.3))
        np.testing.assert_allclose(second.dot(first), whole, atol=1e-12)
        np.testing.assert_allclose(second.dot(before).dot(second.T) + after, noise, atol=1e-12)


def test_sources_that_are_derived_from_each_other_share_their_errors() -> None:
    derived = spec("b", lineage=("camera",))
    found = plan([spec("a"), derived, spec("c", lineage=("camera",)), spec("d", lineage=("a",)), spec("e")])
    lineages = [member.lineage for member in found.members]
    assert lineages[1] == lineages[2] != lineages[0] == lineages[3]
    assert lineages[4] not in lineages[:4]
    stated = plan(
        [spec("a"), spec("b")], [{"name": "a", "lineage": ["clock"]}, {"name": "b", "lineage": ["clock"]}]
    )
    assert len({member.lineage for member in stated.members}) == 1


@pytest.mark.parametrize(
    ("specs", "sources", "says"),
    [
        ([spec("a"), spec("b", 3)], None, "a has 2 channels, b 3: give sources of one shape, or `channels`"),
        ([spec("a"), spec("b", unit="ft")], None, "a is in m, b in ft: give sources of one unit"),
        (
            [spec("a"), spec("b")],
            ["a", {"name": "b", "channels": [0]}],
            "channels has 1 numbers for readings of 2",
        ),
        (
            [spec("a", 1), spec("b", 1)],
            [{"name": "a", "channels": [1]}, {"name": "b", "channels": [1]}],
            "no source measures value 0",
        ),
        ([spec("a", 13), spec("b", 13)], None, "13 values: give at most 12"),
        ([spec("a"), spec("b", tensor=TensorSpec(shape=(2,), dtype="bool"))], None, "readings are bool"),
    ],
)
def test_what_does_not_fit_is_refused(specs: list[SensorSpec], sources: list[Any] | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        plan(specs, sources)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"sources": ["a"]}, "sources has 1: give two or more"),
        ({"sources": ["a", "a"]}, "sources has a twice"),
        ({"sources": ["a", {"name": "b", "noise_std": -1}]}, "greater than or equal to 0.0"),
        ({"sources": ["a", {"name": "b", "measures": "rate"}]}, "give motion constant_velocity"),
        ({"motion_std": 0}, "greater than or equal to 0.0"),
        ({"motion_std": 1e200}, "less than or equal to"),
        ({"jump_std": 1e-200}, "greater than or equal to"),
        (
            {"sources": [{"name": "a", "noise_std": 1e-6}, {"name": "b", "noise_std": 1}]},
            "noise_std and jump_std are 1e-06 to 1: give numbers that differ by at most 10000 times",
        ),
        ({"name": "a"}, "one of its sources"),
        ({"name": "x\ny"}, "pattern"),
        ({"sources": ["a", {"name": "b", "channels": [0, 0]}]}, "different numbers"),
    ],
)
def test_a_group_that_makes_no_sense_is_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        MeasurementConfig.model_validate({"name": "p", "sources": ["a", "b"], "motion_std": 1} | changed)


def test_an_optional_source_that_the_run_lacks_is_left_out() -> None:
    found = plan([spec("b"), spec("c")], ["a", "b", "c"])
    assert [member.name for member in found.members] == ["b", "c"]
    assert found.spec.lineage == ("b", "c")
    with pytest.raises(InputError, match="none of its sources that measure the value"):
        plan([spec("d")], ["a", "b"])
