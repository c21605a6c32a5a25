"""Where each source's channels lie, and what makes two sets of sources the same."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.channels.layout import Layout


def test_channels_follow_one_another_in_the_order_of_the_sources(spec):
    layout = Layout.of([spec("a", 2), spec("b", 3), spec("c", 1)])
    assert (layout.num_sources, layout.num_channels) == (3, 6)
    assert layout.offsets.tolist() == [0, 2, 5, 6]
    assert layout.source_of_channel.tolist() == [0, 0, 1, 1, 1, 2]
    assert layout.per_source(np.arange(6.0)).tolist() == [1.0, 9.0, 5.0]


def test_a_derived_source_is_no_witness(spec):
    layout = Layout.of([spec("a"), spec("recall", modality="cognitive"), spec("derived", lineage=("a",))])
    assert layout.is_witness.tolist() == [True, False, False]


def test_the_fingerprint_depends_on_names_shapes_units_and_order(spec):
    layout = Layout.of([spec("a"), spec("b")])
    assert layout.fingerprint == Layout.of([spec("a"), spec("b")]).fingerprint
    others = [[spec("b"), spec("a")], [spec("a"), spec("c")], [spec("a"), spec("b", 3)], [spec("a")]]
    others.append([spec("a"), spec("b", observes=("position", "km"))])
    assert len({Layout.of(other).fingerprint for other in others} | {layout.fingerprint}) == 6


def test_a_duplicate_name_and_no_sensor_raise(spec):
    with pytest.raises(ValueError, match="'a' is used twice"):
        Layout.of([spec("a"), spec("a")])
    with pytest.raises(ValueError, match="none is enabled"):
        Layout.of([])
