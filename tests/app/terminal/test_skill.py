"""Prediction skill: sums by source, third and night, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from sage.app.terminal.skill import SkillSums, SkillTable, bin_width, counted_sources, verdict
from sage.runtime.report import NAN, SourceFacts


def scored(error: float, persistence: float, skip: float = NAN, *, name: str = "imu") -> SourceFacts:
    return SourceFacts(
        name=name, status="running", sequence=0, age_ns=0, is_fresh=True, is_attended=True,
        error=error, persistence_error=persistence, skip_error=skip,
    )  # fmt: skip


def filled(errors: list[float], *, nights: tuple[int, ...] = ()) -> SkillTable:
    """One reading per tick against persistence 1; a night ends after each tick of `nights`, counted from
    0.
    """
    table = SkillTable()
    for tick, error in enumerate(errors):
        table.next_tick()
        table.add(scored(error, 1.0))
        if tick in nights:
            table.end_night()
    return table


def test_skill_is_one_minus_the_ratio_of_summed_errors_over_scored_readings():
    sums = SkillSums()
    assert sums.add(scored(1.0, 2.0, 1.5))
    assert sums.add(scored(0.5, 4.0))
    assert not sums.add(scored(9.0, NAN))
    assert not sums.add(scored(NAN, 9.0))
    assert sums.skill == pytest.approx(1 - 1.5 / 6.0)
    assert sums.gain_over_skip == pytest.approx(1 - 1.0 / 1.5), "only readings that have a skip error"


def test_skill_of_nothing_is_undefined():
    assert np.isnan(SkillSums().skill)
    assert np.isnan(SkillSums().gain_over_skip)


def test_thirds_of_a_session_of_unknown_length_are_found_in_bounded_memory():
    table = filled([1.0] * 5000 + [0.25] * 5000)
    figures = table.figures(("imu",))
    assert figures.first_third == pytest.approx(0.0)
    assert figures.last_third == pytest.approx(0.75)
    assert len(table._cells) <= 48


@pytest.mark.parametrize("num_ticks_per_third", [1, 16, 32, 64])
def test_thirds_are_exact_where_bins_divide_them(num_ticks_per_third):
    parts = (0.75, 0.5, 0.25)
    figures = filled([error for error in parts for _ in range(num_ticks_per_third)]).figures(("imu",))
    assert figures.first_third == pytest.approx(0.25)
    assert figures.last_third == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("num_ticks", "width"), [(0, 1), (1, 1), (48, 1), (49, 2), (96, 2), (97, 4), (10_000, 256)]
)
def test_a_bin_covers_the_smallest_power_of_two_of_ticks(num_ticks, width):
    assert bin_width(num_ticks) == width
    assert filled([1.0] * min(num_ticks, 200))._width == bin_width(min(num_ticks, 200))


def test_before_is_up_to_the_end_of_the_first_night_and_after_since_the_end_of_the_last():
    figures = filled([1.0] * 100 + [0.7] * 100 + [0.5] * 100, nights=(99, 199)).figures(("imu",))
    assert figures.before_sleep == pytest.approx(0.0)
    assert figures.after_sleep == pytest.approx(0.5)
    assert figures.overall == pytest.approx(1 - 2.2 / 3)


def test_without_a_night_there_is_neither_before_nor_after():
    figures = filled([0.5] * 10).figures(("imu",))
    assert np.isnan(figures.before_sleep)
    assert np.isnan(figures.after_sleep)


def test_figures_of_several_sources_sum_their_errors():
    table = SkillTable()
    table.next_tick()
    for source in (scored(1.0, 4.0, name="a"), scored(1.0, 1.0, name="b"), scored(0.0, 95.0, name="clock")):
        table.add(source)
    names = counted_sources(("a", "b", "clock"), temporal=("clock",))
    assert table.figures(names).overall == pytest.approx(1 - 2 / 5)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.5] * 9, "was 50% below that of repeating"),
        ([1.0] * 9, "was equal to that of repeating"),
        ([1.5] * 9, "was 50% above that of repeating"),
        ([], "No prediction could be compared"),
    ],
)
def test_the_verdict_is_one_sentence(errors, expected):
    sentence = verdict(filled(errors).figures(("imu",)))
    assert expected in sentence
    assert sentence.count(".") == 1


def test_the_verdict_compares_before_and_after_sleep():
    sentence = verdict(filled([1.0] * 9 + [0.25] * 9, nights=(8,)).figures(("imu",)))
    assert "before sleep 0%, after sleep -75%" in sentence
