"""Several tasks as one, each judged by its own rules."""

from __future__ import annotations

import numpy as np
import pytest

from sage.hrm_core.tasks.contract import IGNORED
from sage.hrm_core.training.mirror_task import MirrorTask
from sage.hrm_core.training.mixture import MixtureTask, Part, Vocabulary

SHORT, LONG = MirrorTask(seq_len=4, num_symbols=4), MirrorTask(seq_len=6, num_symbols=6)


@pytest.mark.parametrize(("vocabulary", "vocab_size"), [("joined", 3 + 6), ("offset", 3 + 10)])
def test_rows_of_all_tasks_in_one_shape(vocabulary: Vocabulary, vocab_size: int) -> None:
    mixture = MixtureTask([Part(task=SHORT), Part(task=LONG, weight=3)], vocabulary=vocabulary)
    assert (mixture.spec.seq_len, mixture.spec.vocab_size) == (7, vocab_size)
    rows = mixture.sample(400, np.random.default_rng(0))
    assert rows.inputs.shape == (400, 7)
    assert rows.inputs.max() < vocab_size
    assert (rows.labels[:, 0] == IGNORED).all()
    of_short = mixture.task_of(rows.inputs) == 0
    assert 60 < of_short.sum() < 140
    assert (rows.labels[of_short, 5:] == IGNORED).all()
    assert mixture.verify(rows.inputs, rows.labels).all()


@pytest.mark.parametrize("vocabulary", ["joined", "offset"])
def test_a_wrong_answer_is_wrong_and_one_in_anothers_symbols_too(vocabulary: Vocabulary) -> None:
    mixture = MixtureTask([Part(task=SHORT), Part(task=LONG)], vocabulary=vocabulary)
    rows = mixture.held_out(20)
    wrong = rows.labels.copy()
    wrong[:, 1] = np.where(wrong[:, 1] == wrong[:, 2], wrong[:, 1] + 1, wrong[:, 2])
    assert not mixture.verify(rows.inputs, wrong)[wrong[:, 1] != rows.labels[:, 1]].any()


def test_held_out_holds_as_many_of_each_and_each_alone() -> None:
    mixture = MixtureTask([Part(task=SHORT, weight=9), Part(task=LONG)])
    rows = mixture.held_out(10)
    assert np.bincount(mixture.task_of(rows.inputs)).tolist() == [5, 5]
    alone = mixture.only(1)
    assert (alone.spec.name, alone.spec.seq_len) == ("mirror", 7)
    assert (mixture.task_of(alone.held_out(6).inputs) == 1).all()
    assert alone.verify(alone.held_out(6).inputs, alone.held_out(6).labels).all()


def test_order_is_that_of_the_draw() -> None:
    mixture = MixtureTask([Part(task=SHORT), Part(task=LONG)])
    one, other = (mixture.sample(30, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one.inputs, other.inputs)
    marks = mixture.task_of(one.inputs)
    assert 0 < np.abs(np.diff(marks)).sum() < 30
    assert len(np.unique(np.sort(marks)[:1])) == 1


def test_one_task_is_no_mixture() -> None:
    with pytest.raises(ValueError, match="give two tasks or more"):
        MixtureTask([Part(task=SHORT)])
