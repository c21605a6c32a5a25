"""Rows come in a fixed order, from a thread that may fail, hang or be stopped."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sage.hrm_core.tasks.contract import Examples
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
