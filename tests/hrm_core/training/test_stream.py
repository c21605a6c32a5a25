"""Rows come in a fixed order, from a thread that may fail, hang or be stopped."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.evaluation.evaluate import check_held_out
from sage.hrm_core.tasks.contract import Examples, check_examples
from sage.hrm_core.training.errors import LoaderError
from sage.hrm_core.training.mirror_task import MirrorTask
from sage.hrm_core.training.stream import RowStream


def test_the_order_of_rows_does_not_depend_on_the_number_taken_at_once(mirror: MirrorTask) -> None:
    with RowStream(mirror, block_size=4, seed=1) as one, RowStream(mirror, block_size=4, seed=1) as other:
        together = one.take(11).inputs
        apart = np.concatenate([other.take(num).inputs for num in (1, 3, 0, 2, 5)])
    assert np.array_equal(together, apart)


@pytest.mark.parametrize("num_taken", [0, 3, 4, 9])
def test_a_restored_stream_continues_at_the_saved_position(mirror: MirrorTask, num_taken: int) -> None:
    with RowStream(mirror, block_size=4, seed=1) as stream:
        stream.take(num_taken)
        state = stream.state()
        expected = stream.take(7).inputs
    with RowStream(mirror, block_size=4, seed=99, state=state) as restored:
        assert np.array_equal(restored.take(7).inputs, expected)


def test_a_task_that_fails_ends_in_an_error_that_shows_where(
    mirror: MirrorTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(num: int, rng: np.random.Generator) -> Examples:
        raise OSError("the file has gone")

    monkeypatch.setattr(mirror, "sample", fail)
    with RowStream(mirror, block_size=4, seed=1) as stream:
        for _ in range(2):
            with pytest.raises(
                LoaderError, match="mirror failed to draw training rows: the file has gone"
            ) as caught:
                stream.take(1)
            assert isinstance(caught.value.__cause__, OSError)


def test_a_task_that_hangs_ends_in_an_error(mirror: MirrorTask, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def hang(num: int, rng: np.random.Generator) -> Examples:
        let_go.wait()
        raise AssertionError

    monkeypatch.setattr(mirror, "sample", hang)
    with RowStream(mirror, block_size=4, seed=1, timeout_secs=0.01) as stream:
        with pytest.raises(LoaderError, match=r"no training rows for 0\.01 s"):
            stream.take(1)
        let_go.set()


def test_a_task_that_returns_too_few_rows_is_refused(
    mirror: MirrorTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = mirror.sample
    monkeypatch.setattr(mirror, "sample", lambda num, rng: sample(num - 1, rng))
    with (
        RowStream(mirror, block_size=4, seed=1) as stream,
        pytest.raises(LoaderError, match="3 rows instead of 4"),
    ):
        stream.take(1)


def _changed(**changes: Any) -> Callable[[Examples], Examples]:
    return lambda rows: dataclasses.replace(rows, **{name: make(rows) for name, make in changes.items()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_changed(labels=lambda rows: rows.labels - 1), r"labels are -1 to \d: give 0 to 3, or -100"),
        (_changed(labels=lambda rows: rows.labels + 0.5), "labels are float64: give an array of int32"),
        (_changed(labels=lambda rows: np.full_like(rows.labels, 4)), "labels are 0 to 4: give 0 to 3"),
        (_changed(labels=lambda rows: rows.labels[:, :5]), r"labels have shape \((\d+), 5\): give \(\1, 6\)"),
        (_changed(inputs=lambda rows: rows.inputs + 4), r"inputs are \d to \d: give 0 to 3"),
        (_changed(inputs=lambda rows: rows.inputs.tolist()), "inputs are list: give an array of int32"),
        (_changed(puzzle_ids=lambda rows: None), "puzzle_ids are NoneType: give an array of int32"),
        (_changed(puzzle_ids=lambda rows: rows.puzzle_ids[1:]), r"inputs have shape \(\d+, 6\): give"),
    ],
)
def test_rows_that_break_the_contract_are_named(
    mirror: MirrorTask,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Examples], Examples],
    message: str,
) -> None:
    sample, held_out = mirror.sample, mirror.held_out
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "sample", lambda num, rng: change(sample(num, rng)))
        with (
            RowStream(mirror, block_size=16, seed=1) as stream,
            pytest.raises(LoaderError, match=f"task mirror failed to draw training rows: {message}"),
        ):
            stream.take(1)
    monkeypatch.setattr(mirror, "held_out", lambda num: change(held_out(16)))
    with pytest.raises(InputError, match=f"task mirror: held-out {message}"):
        check_held_out(mirror)


def test_rows_with_ids_beyond_the_tasks_are_named(mirror: MirrorTask) -> None:
    rows = mirror.held_out(4)
    spec = dataclasses.replace(mirror.spec, num_puzzle_ids=3)
    check_examples(rows, spec)
    with pytest.raises(InputError, match="puzzle_ids are 0 to 3: give -1 to 2"):
        check_examples(dataclasses.replace(rows, puzzle_ids=np.full(4, 3)), spec)
