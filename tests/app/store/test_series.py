"""Series share one time axis, with NaN without a value, and averages of what they cover."""

from __future__ import annotations

import numpy as np
import pytest

from sage.app.session.synthetic import SyntheticSession
from sage.app.terminal.errors import UserError


def test_series_share_one_axis_with_nan_without_a_value(store, record):
    session = record(store, SyntheticSession(num_ticks=200))
    names = ["coherence", "imu.trust", "camera.front.surprise", "camera.front.status", "state"]
    series = store.series(session, names)
    assert list(series.values) == names
    assert {len(values) for values in series.values.values()} == {200}
    assert np.isnan(series.values["coherence"][:41]).all()
    assert np.isfinite(series.values["coherence"][41:]).all()
    assert np.isnan(series.values["camera.front.surprise"][100])
    assert series.values["camera.front.status"][100] == "quarantined"
    assert series.values["state"][85] == "dream"


def test_a_downsampled_series_is_the_average_of_its_ticks(store, record):
    session = record(store, SyntheticSession(num_ticks=1000))
    whole = store.series(session, ["value", "imu.trust", "imu.error"])
    small = store.series(session, ["value", "imu.trust", "imu.error"], max_points=50)
    assert 40 <= len(small.time_ns) <= 50
    assert small.num_ticks.sum() == 1000
    for name in ("value", "imu.trust"):
        assert np.average(small.values[name], weights=small.num_ticks) == pytest.approx(
            whole.values[name].mean()
        )
    assert np.nansum(small.values["imu.error"]) == pytest.approx(np.nansum(whole.values["imu.error"]))


def test_an_unknown_series_names_the_nearest_one(store, record):
    session = record(store, SyntheticSession(num_ticks=5))
    with pytest.raises(UserError, match=r"imu\.trus.*did you mean imu\.trust\?"):
        store.series(session, ["imu.trus"])


def test_an_unknown_series_names_those_of_the_session(store, record):
    session = record(store, SyntheticSession(num_ticks=5))
    with pytest.raises(UserError, match=r"SOURCE\.column, or one of the session: .*coherence.*surprise"):
        store.series(session, ["xyz"])


def test_the_session_has_a_surprise_and_the_activity_of_both_states(store, record):
    session = record(store, SyntheticSession(num_ticks=20, sources=("imu", "camera")))
    names = ["surprise", "imu.surprise", "camera.surprise", "h_change", "l_change"]
    values = store.series(session, names).values
    both = np.stack([values["imu.surprise"], values["camera.surprise"]])
    np.testing.assert_allclose(values["surprise"], np.nanmean(both, axis=0))
    report = store.tick(session, 7)
    assert report.facts.activity.h_change == values["h_change"][7]
    assert report.facts.activity.l_change == values["l_change"][7]
