"""The compiled predictor beside the one without a compiler, on the same readings."""

from __future__ import annotations

import numpy as np
import pytest

from sage.compiled import has_compiler
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.channels.layout import Layout
from sage.runtime.prediction.predictor import PredictionScored, Predictor, Scores
from sage.sensors.contract import SensorSpec

pytestmark = pytest.mark.skipif(not has_compiler(), reason="numba is not installed")


def layout_of(*sizes: int) -> Layout:
    """Physical sources of these numbers of channels, and a source derived from others."""
    modalities = ["physical"] * (len(sizes) - 1) + ["memory"]
    return Layout.of(
        [
            SensorSpec(
                name=f"source{index}",
                modality=modality,
                tensor=TensorSpec(shape=(size,)),
                period_ns=10**8,
                observes=("test", "1"),
                is_bounded=True,
            )
            for index, (size, modality) in enumerate(zip(sizes, modalities))
        ]
    )


@pytest.mark.parametrize("sizes", [(3, 1, 9, 2), (60, 50, 3)], ids=["all features", "mixed features"])
def test_compiled_and_interpreted_predictors_agree(sizes: tuple[int, ...]) -> None:
    """Sources miss ticks, repeat, stay constant, start late, and one has a value that overflows."""
    layout, rng = layout_of(*sizes), np.random.default_rng(3)
    reported: list[list[PredictionScored]] = [[], []]
    pair = [Predictor(layout, reported[i].append, is_compiled=bool(i)) for i in range(2)]
    values, captured_ns = np.zeros(layout.num_channels), np.zeros(layout.num_sources, dtype=np.int64)
    for tick in range(120):
        fresh = rng.random(layout.num_sources) < 0.7
        fresh[1] &= tick > 30  # starts late
        moved = fresh & (rng.random(layout.num_sources) < 0.9)
        values = values + rng.normal(0, 1, len(values)) * moved[layout.source_of_channel]
        values[0] = 5.0  # constant
        values[2] = 1e200 if tick == 100 else values[2] % 7
        captured_ns[fresh] = tick * 10**8
        scores = [predictor.meet(fresh, values, captured_ns) for predictor in pair]
        for name in Scores.__slots__:
            a, b = (getattr(each, name) for each in scores)
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12, err_msg=f"{name}, tick {tick}")
        if tick in (16, 32):
            for predictor in pair:
                predictor.freeze_scale()
        for a, b in zip(pair[0].standardised(), pair[1].standardised()):
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)
        correction = rng.normal(0, 0.1, len(values))
        for predictor in pair:
            predictor.propose(correction)
    for name, array in pair[0].state().items():
        np.testing.assert_allclose(pair[1].state()[name], array, rtol=1e-8, atol=1e-12, err_msg=name)
    for name in ("captured_ns", "num_readings"):
        assert np.array_equal(getattr(pair[0], name), getattr(pair[1], name))
    assert len(reported[0]) == len(reported[1]) > 100
    for one, other in zip(*reported):
        assert (one.source, one.captured_ns, one.horizon_ns) == (
            other.source,
            other.captured_ns,
            other.horizon_ns,
        )
        np.testing.assert_allclose(other.predicted, one.predicted, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(other.scale, one.scale, rtol=1e-12)
