"""A model is scored after each segment, and is unchanged afterwards."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
import torch

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.evaluation import evaluate as evaluation
from sage.hrm_core.evaluation import scoring
from sage.hrm_core.evaluation.evaluate import Trace, evaluate, run_segments
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.ranks import Ranks
from sage.hrm_core.tasks.contract import Examples
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


def test_a_row_halts_at_the_first_confident_segment_or_uses_the_most_confident_one() -> None:
    wants_halt = np.array([[False, False, True], [True, False, False], [True, False, True]])  # (T, N)
    trace = Trace(
        answers=np.zeros((3, 3, 1)),
        q_halt=np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [3.0, 0.0, 3.0]]),
        wants_halt=wants_halt,
    )
    assert [each.tolist() for each in trace.halted(0.0)] == [[1, 0, 0], [2, 3, 1]]
    assert [each.tolist() for each in trace.halted(0.9)] == [[2, 0, 2], [3, 3, 3]]


def test_a_task_without_held_out_puzzles_is_refused(model: HRM) -> None:
    class Empty(MirrorTask):
        def held_out(self, num: int):  # type: ignore[no-untyped-def]
            return super().held_out(0)

    with pytest.raises(ValueError, match="no held-out puzzles"):
        evaluate(model, Empty())


def test_figures_with_published_names_are_of_the_last_segment(
    model: HRM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upstream's evaluation takes every segment, then compares q_halt >= 0 with the answer being exact."""
    task = MirrorTask()
    examples = task.held_out(4)
    right, wrong = examples.labels, np.where(examples.labels == 1, 2, 1).astype(np.int32)
    answers = np.stack([right, np.where(np.array([[1], [1], [0], [0]]) == 1, right, wrong)])  # (T, N, L)
    q_halt = np.array([[9.0, 9.0, 9.0, 9.0], [1.0, -1.0, 1.0, -1.0]], np.float32)
    trace = Trace(answers=answers, q_halt=q_halt, wants_halt=q_halt > 0)
    monkeypatch.setattr(evaluation, "run_segments", lambda *_, **__: trace)
    figures = evaluate(model, task, num=4, segments=(1, 2)).figures()
    assert figures["eval/exact_accuracy"] == 0.5
    assert figures["eval/q_halt_accuracy"] == 0.5  # rows 0 and 3
    assert figures["eval/steps"] == 2.0
    assert figures["eval/halting_exact_accuracy"] == figures["eval/halting_q_accuracy"] == 1.0
    assert figures["eval/halting_steps"] == 1.0


def test_the_last_segment_alone_is_the_end_of_the_whole(model: HRM) -> None:
    rows = MirrorTask().held_out(7)
    whole = run_segments(model, rows, 3, batch_size=4)
    last = run_segments(model, rows, 3, batch_size=4, is_last_only=True)
    for name in ("answers", "q_halt", "wants_halt"):
        np.testing.assert_array_equal(getattr(last, name), getattr(whole, name)[-1:])


def test_a_rank_without_a_puzzle_gives_none(model: HRM, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[int] = []

    def gather(_: Ranks, rows: torch.Tensor) -> torch.Tensor:
        gathered.append(len(rows))
        return torch.cat([rows, rows.new_zeros(2 - len(rows), *rows.shape[1:])])

    monkeypatch.setattr(Ranks, "gather_rows", gather)
    for index, num in ((0, 0), (1, 1), (2, 1)):
        gathered.clear()
        ranks = Ranks(index=index, count=3)
        assert evaluate(model, MirrorTask(), num=2, segments=(1, 2), ranks=ranks).num == 2
        assert set(gathered) == {num}


def test_what_is_kept_does_not_grow_with_the_segments(model: HRM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of every segment of every puzzle, 4 bytes a cell, were kept until the end."""

    def run(_: HRM, rows: Examples, num_segments: int, **__: object) -> Trace:
        q_halt = np.zeros((num_segments, len(rows)), np.float32)
        answers = np.repeat(rows.labels[None], num_segments, axis=0)
        return Trace(answers=answers, q_halt=q_halt, wants_halt=q_halt > 0)

    monkeypatch.setattr(evaluation, "run_segments", run)
    num, length = 2000, 100
    task = MirrorTask(seq_len=length)
    peaks = []
    for segments in (1, 64):
        tracemalloc.start()
        report = evaluate(model, task, num=num, segments=(segments,), batch_size=50)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (report.exact, report.input_sensitivity) == (1.0, 1.0)
    assert peaks[1] - peaks[0] < 64 * num * length * 4 / 10


def test_scores_do_not_depend_on_the_parts(model: HRM, monkeypatch: pytest.MonkeyPatch) -> None:
    class Graded(MirrorTask):
        def scores(self, examples: Examples, answers: np.ndarray) -> dict[str, np.ndarray]:
            return {"right": (examples.labels == answers).mean(axis=1)}

    found = []
    for part, batch_size in ((4096, 256), (3, 4)):
        monkeypatch.setattr(scoring, "PART", part)
        report = evaluate(model, Graded(), num=11, segments=(1, 2), batch_size=batch_size)
        found.append(report.to_plain())
    assert found[0] == found[1]


def test_a_puzzle_that_the_model_has_no_id_of_is_unknown_to_it() -> None:
    front = TokenFront(
        vocab_size=4, seq_len=6, num_puzzle_ids=3, puzzle_emb_ndim=16, puzzle_tokens=1, positions="learned"
    )
    model = HRM(ModelConfig.preset("tiny", front=front, hidden_size=16, num_heads=1)).eval()
    table = model.inner.puzzle_emb
    table.weights.normal_(generator=torch.Generator().manual_seed(0))
    table.refresh()
    cells = MirrorTask().held_out(1).inputs

    def q_of(number: int) -> float:
        rows = Examples(inputs=cells, labels=cells, puzzle_ids=np.array([number], np.int32))
        carry, _ = model.segment(
            model.initial_carry(1), evaluation._to_batch(model.config, rows, torch.device("cpu"))
        )
        return float(carry.z_H.sum())

    assert q_of(3) == q_of(-1) != q_of(2)
