from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sage.errors import DataError
from sage.runtime.report import LevelExamination, SleepOutcome, SleepReport
from sage.runtime.sleep.puzzles.process.wire import (
    HEADER_WORDS,
    experience_size,
    offer_bytes,
    read_experience,
    read_offer,
    write_experience,
    write_offer,
)
from sage.runtime.solving.learner import Offer
from tests.runtime.sleep.puzzles.conftest import Feed


def test_an_experience_is_read_as_it_was_written(feed: Feed) -> None:
    for changes in ({}, {"solution": None}, {"answer": np.zeros(0, np.int32), "is_right": True}):
        experience = feed(1, level=1, trust=0.25, confidence=0.75, tick=2**40, **changes)[0]
        message = np.full(experience_size(50), 9, np.int64)
        write_experience(message, experience)
        found = read_experience(message)
        for name in experience.__dataclass_fields__:
            assert np.array_equal(getattr(found, name), getattr(experience, name)), name
            assert type(getattr(found, name)) is type(getattr(experience, name))


def test_a_damaged_experience_is_refused(feed: Feed) -> None:
    message = np.zeros(experience_size(16), np.int64)
    write_experience(message, feed(1)[0])
    message[HEADER_WORDS - 3] = 10_000
    with pytest.raises(DataError, match="damaged"):
        read_experience(message)


def test_an_offer_is_read_as_it_was_written_without_a_copy_of_its_weights() -> None:
    weights = {"b": torch.arange(6.0).view(2, 3), "a": torch.tensor([7.0])}
    report = SleepReport(
        outcome=SleepOutcome.ACCEPTED,
        reason="gain",
        tick=3,
        num_replayed=1,
        num_examined=2,
        num_steps=3,
        stream="s",
        levels=(LevelExamination(level="4x4", num=2, before=0.5, after=1.0),),
    )
    message = np.zeros(offer_bytes(weights, ("s", "4x4")), np.uint8)
    offer = Offer(weights=weights, kind="night", num_steps=9, loss=math.nan, report=report)
    write_offer(message, offer, night=4)
    found, night = read_offer(
        torch.from_numpy(message), {name: tensor.shape for name, tensor in weights.items()}
    )
    assert night == 4
    assert found.num_steps == 9
    assert math.isnan(found.loss)
    assert found.report is not None
    assert found.report.outcome is SleepOutcome.ACCEPTED
    assert found.report.levels[0].after == 1.0
    assert math.isnan(found.report.levels[0].gain_low)
    for name, tensor in weights.items():
        assert torch.equal(found.weights[name], tensor)
    message[-4:] = 0
    assert found.weights["b"][1, 2] == 0


@pytest.mark.parametrize("num_levels", [1, 400])
def test_a_report_of_many_levels_with_a_long_reason_is_sent(num_levels: int) -> None:
    """It ended the trainer's process: its header had more than 16 KiB."""
    names = [f"level {number} of \N{CUBE ROOT} \u00fcbung" * 8 for number in range(num_levels)]
    figures = {"num": 2**31, "before": 1 / 3, "after": -1e-300 / 3, "gain_low": 1 / 7, "gain_high": 1 / 9}
    report = SleepReport(
        outcome=SleepOutcome.UNDECIDED,
        reason="\N{CUBE ROOT}'\"" * 20_000,
        tick=2**60,
        num_replayed=2**60,
        num_examined=2**60,
        num_steps=2**60,
        stream="s" * 5000,
        levels=tuple(LevelExamination(level=name, **figures) for name in names),
    )
    weights = {"a": torch.arange(7.0)}
    message = np.zeros(offer_bytes(weights, [report.stream, *names]), np.uint8)
    offer = Offer(weights=weights, kind="night", num_steps=9, loss=1 / 3, report=report)
    write_offer(message, offer, night=4)
    found, night = read_offer(torch.from_numpy(message), {"a": torch.Size([7])})
    assert night == 4
    assert torch.equal(found.weights["a"], weights["a"])
    assert found.report.levels == report.levels
    assert found.report.stream == report.stream
    kept = found.report.reason.removesuffix("...")
    assert report.reason.startswith(kept)
    assert len(kept) > 1000
