"""A model is judged segment by segment, and leaves as it came."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.evaluation.evaluate import Trace, evaluate, run_segments
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.training.mirror_task import MirrorTask


@pytest.fixture
def model() -> HRM:
    front = TokenFront(vocab_size=4, seq_len=6, positions="learned")
    return HRM(ModelConfig.preset("tiny", front=front, hidden_size=16, mlp_multiple=16))


def test_answers_do_not_depend_on_the_batch(model: HRM) -> None:
    rows = MirrorTask().held_out(7)
    one, other = (run_segments(model, rows, 3, batch_size=size) for size in (3, 7))
    assert one.answers.shape == (3, 7, 6)
    assert np.array_equal(one.answers, other.answers)


def test_a_report_is_whole_and_ready_for_json(model: HRM) -> None:
    model.train()
    before = [weight.clone() for weight in model.parameters()]
    report = evaluate(model, MirrorTask(), num=20, segments=(4, 1))
    assert model.training
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(model.parameters(), before))
    assert [depth.segments for depth in report.depths] == [1, 4]
    assert report.num == 20
    assert len(report.failures) == round(20 * (1 - report.exact))
    assert {"eval/exact_accuracy", "eval/q_halt_accuracy", "eval/steps"} <= set(report.figures())
    assert json.loads(json.dumps(report.to_plain(), allow_nan=False))["task"] == "mirror"


def test_a_row_halts_at_the_first_sure_wish_or_gives_what_was_trusted_most() -> None:
    wants = np.array([[False, False, True], [True, False, False], [True, False, True]])  # (T, N)
    trace = Trace(
        answers=np.zeros((3, 3, 1)),
        q_halt=np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [3.0, 0.0, 3.0]]),
        wants_halt=wants,
    )
    assert [each.tolist() for each in trace.halted(0.0)] == [[1, 0, 0], [2, 3, 1]]
    assert [each.tolist() for each in trace.halted(0.9)] == [[2, 0, 2], [3, 3, 3]]


def test_a_task_without_held_out_puzzles_is_refused(model: HRM) -> None:
    class Empty(MirrorTask):
        def held_out(self, num: int):  # type: ignore[no-untyped-def]
            return super().held_out(0)

    with pytest.raises(ValueError, match="no held-out puzzles"):
        evaluate(model, Empty())
