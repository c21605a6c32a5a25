"""Posture: figures with known values, and modalities without a trusted source."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.config import PostureConfig
from sage.runtime.trust.posture import PostureMeter
from sage.sensors.contract import SensorSpec


def sensor(name: str, quantity: str, modality: str = "physical") -> SensorSpec:
    return SensorSpec(
        name=name,
        modality=modality,
        tensor=TensorSpec(shape=(1,)),
        period_ns=1,
        observes=(quantity, "1"),
    )


SPECS = [
    sensor("left", "light"),
    sensor("right", "light"),
    sensor("joints", "angle"),
    sensor("clock", "phase", "temporal"),
]
ALL = np.ones(4, dtype=bool)


def measure(trust, usable=ALL, attended=ALL, needed=(), **config):
    meter = PostureMeter(SPECS, PostureConfig(**config), needed)
    return meter.measure(np.array(trust, dtype=float), np.array(usable), np.array(attended))


def test_figures():
    posture = measure([0.8, 0.4, 0.6, 0.2], attended=[True, False, True, False])
    assert posture.confidence == pytest.approx(0.7)
    assert posture.asymmetry == pytest.approx(0.2)
    assert posture.breadth == pytest.approx(1.8**2 / (0.64 + 0.16 + 0.36) / 3)
    assert posture.starved == ()


@pytest.mark.parametrize("trust", [0.1, 0.5, 1.0])
def test_sources_that_are_trusted_alike_have_breadth_1(trust: float):
    assert measure([trust] * 4).breadth == pytest.approx(1.0)
    assert measure([trust, 0, 0, 0]).breadth == pytest.approx(1 / 3)


def test_a_modality_is_starved_without_a_usable_trusted_source():
    assert measure([0.9] * 4, usable=[False, True, True, True]).starved == ()
    assert measure([0.9] * 4, usable=[False, False, True, True]).starved == ("vision",)
    assert measure([0.2, 0.29, 0.9, 0.9]).starved == ("vision",)
    assert measure([0.2, 0.29, 0.9, 0.9], min_trust=0.25).starved == ()
    assert measure([0.0] * 4, min_trust=0).starved == ("angle", "vision")


def test_modalities_of_the_configuration_take_their_sources():
    posture = measure([0.9, 0.1, 0.9, 0.1], modalities={"touch": ("j*", "right"), "time": ("clock",)})
    assert posture.starved == ("time",)
    assert measure([0.1, 0.9, 0.9, 0.9], modalities={"touch": ("right",)}).starved == ("vision",)


def test_a_needed_modality_without_sources_is_starved():
    assert measure([0.9] * 4, needed=("touch",)).starved == ("touch",)


def test_what_is_undefined_is_nan():
    nothing = np.zeros(4, dtype=bool)
    assert math.isnan(measure([0.9] * 4, attended=nothing).confidence)
    assert measure([math.nan] * 4).breadth == 0.0
