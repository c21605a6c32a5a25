"""Prompts from readings: values, names of channels, unknown ones, and templates that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from sage.errors import InputError
from sage.sensors.board import Board, Posted
from sage.sensors.language.prompt import PromptTemplate

POSTED = Posted(
    values={"cpu": np.array([12.5, 3.0]), "arm.reward": np.array([1.0])},
    channels={"cpu": ("busy", "idle"), "arm.reward": (), "lamp": ()},
    time_secs=61.5,
)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("busy {cpu[busy]:.0f}%", "busy 12%"),
        ("{cpu[1]:.1f}", "3.0"),
        ("{cpu}", "busy 12.5, idle 3"),
        ("{cpu:.2f}", "busy 12.50, idle 3.00"),
        ("{arm.reward[0]:g}", "1"),
        ("after {time_secs:.0f} s", "after 62 s"),
        ("lamp {lamp[0]:.3f}", "lamp unknown"),
        ("{cpu[7]}", "unknown"),
        ("{cpu!s} {lamp!r}", "busy 12.5, idle 3 unknown"),
        ("{{braces}}", "{braces}"),
    ],
)
def test_a_field_is_a_reading(text: str, rendered: str) -> None:
    assert PromptTemplate(text).render(POSTED) == rendered


@pytest.mark.parametrize("text", ["{}", "{0[}", "{cpu", "{cpu[busy]extra}", "{cpu[]}", " "])
def test_a_template_that_cannot_be_parsed_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="prompt"):
        PromptTemplate(text)


@pytest.mark.parametrize("text", ["{cpu[busy]:d}", "{cpu:zz}", "{time_secs:%H}", "{cpu!x}"])
def test_a_format_that_numbers_do_not_have_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="prompt"):
        PromptTemplate(text)


def test_a_field_has_no_attributes() -> None:
    assert PromptTemplate("{cpu.__class__}").render(POSTED) == "unknown"


def test_a_source_that_the_run_does_not_have_is_refused() -> None:
    board = Board()
    PromptTemplate("{anything[x]}").check(board)  # nothing is known yet
    board.begin({"cpu": ("busy", "idle"), "lamp": ()})
    PromptTemplate("{cpu[busy]} {lamp[0]} {time_secs}").check(board)
    with pytest.raises(InputError, match="no source 'gpu'"):
        PromptTemplate("{gpu}").check(board)
    with pytest.raises(InputError, match="no channel 'wait' of 'cpu'"):
        PromptTemplate("{cpu[wait]}").check(board)
    with pytest.raises(InputError, match="no channel 2 of 'cpu': give 0 to 1"):
        PromptTemplate("{cpu[2]}").check(board)
