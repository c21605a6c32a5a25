"""Collecting reads no solution, resumes, and gives the same rows whatever the batch."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from sage.errors import InputError
from sage.hrm_core.from_search.collecting import Puzzles, collect, not_held_out, puzzles_of
from sage.hrm_core.from_search.episodes import EpisodeFolder, Episodes, PartFigures
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.tasks.sudoku.task import SudokuConfig, SudokuTask
from sage.hrm_core.training.mirror_task import MirrorTask

SETTINGS = SolveSettings(search=40, max_segments=1, search_segments=1, halt="never")


def _collect(
    model: HRM, task: SudokuTask, puzzles: Puzzles, path: Path, *, batch_size: int = 64, **options: object
) -> tuple[bool, Episodes]:
    folder = EpisodeFolder(path)
    is_done = collect(
        model, task, puzzles, folder, SETTINGS, origin="untrained", batch_size=batch_size, part_size=4,
        **options,  # type: ignore[arg-type]
    )  # fmt: skip
    return is_done, folder.read_all()[0]


def _assert_equal(one: Episodes, other: Episodes) -> None:
    for field in dataclasses.fields(Episodes):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_no_solution_is_read(guesser: HRM, blind: SudokuTask, tmp_path: Path) -> None:
    puzzles = not_held_out(blind, puzzles_of(blind, 10, seed=0), 50)
    is_done, found = _collect(guesser, blind, puzzles, tmp_path / "a")
    assert is_done
    assert len(found)
    with pytest.raises(AssertionError, match="labels were read"):
        _ = blind.sample(1, np.random.default_rng(0)).labels


def test_rows_do_not_depend_on_the_batch(guesser: HRM, sudoku4: SudokuTask, tmp_path: Path) -> None:
    puzzles = puzzles_of(sudoku4, 10, seed=0)
    _assert_equal(
        _collect(guesser, sudoku4, puzzles, tmp_path / "a")[1],
        _collect(guesser, sudoku4, puzzles, tmp_path / "b", batch_size=3)[1],
    )


class _Clock:
    """Seconds that pass by one at each reading."""

    def __init__(self) -> None:
        self.secs = 0.0

    def __call__(self) -> float:
        self.secs += 1.0
        return self.secs


def test_a_collection_that_was_cut_continues_to_the_same_rows(
    guesser: HRM, sudoku4: SudokuTask, tmp_path: Path
) -> None:
    puzzles = puzzles_of(sudoku4, 10, seed=0)
    whole = _collect(guesser, sudoku4, puzzles, tmp_path / "whole")[1]
    parts: list[tuple[int, PartFigures]] = []
    is_done, num_calls = False, 0
    while not is_done:
        before = len(parts)
        is_done, found = _collect(
            guesser, sudoku4, puzzles, tmp_path / "cut", max_cpu_secs=25.0, clock=_Clock(),
            on_part=lambda number, figures: parts.append((number, figures)),
        )  # fmt: skip
        num_calls += 1
        assert len(parts) > before
        assert num_calls < 50
    assert num_calls > 1
    assert any(not figures.is_complete for _, figures in parts)
    _assert_equal(found, whole)


def test_a_finished_collection_searches_nothing_again(
    guesser: HRM, sudoku4: SudokuTask, tmp_path: Path
) -> None:
    puzzles, seen = puzzles_of(sudoku4, 6, seed=0), []
    for _ in range(2):
        _collect(guesser, sudoku4, puzzles, tmp_path, on_part=lambda *part: seen.append(part))
    assert [number for number, _ in seen] == [0, 1]


def test_a_stop_ends_it_before_the_next_part(guesser: HRM, sudoku4: SudokuTask, tmp_path: Path) -> None:
    folder = EpisodeFolder(tmp_path)
    is_done = collect(
        guesser,
        sudoku4,
        puzzles_of(sudoku4, 6, seed=0),
        folder,
        SETTINGS,
        origin="untrained",
        stop=lambda: True,
    )
    assert not is_done
    with pytest.raises(InputError, match="contains no episodes"):
        folder.read_all()


@pytest.mark.parametrize("change", ["puzzles", "settings", "origin"])
def test_a_folder_of_another_source_is_refused(
    guesser: HRM, sudoku4: SudokuTask, tmp_path: Path, change: str
) -> None:
    folder, puzzles = EpisodeFolder(tmp_path), puzzles_of(sudoku4, 2, seed=0)
    collect(guesser, sudoku4, puzzles, folder, SETTINGS, origin="untrained")
    with pytest.raises(InputError, match=r"in the folder and .* here: continue with the same"):
        collect(
            guesser,
            sudoku4,
            puzzles_of(sudoku4, 2, seed=1) if change == "puzzles" else puzzles,
            folder,
            dataclasses.replace(SETTINGS, search=50) if change == "settings" else SETTINGS,
            origin="other" if change == "origin" else "untrained",
        )


def test_a_task_without_a_check_of_partial_answers_is_refused(guesser: HRM, tmp_path: Path) -> None:
    task = MirrorTask(seq_len=16, num_symbols=6)
    with pytest.raises(InputError, match="no check of partial answers"):
        collect(guesser, task, puzzles_of(task, 2, seed=0), EpisodeFolder(tmp_path), SETTINGS, origin="x")
    with pytest.raises(InputError, match="search is 0: give the model calls"):
        collect(
            guesser, task, puzzles_of(task, 2, seed=0), EpisodeFolder(tmp_path), SolveSettings(), origin="x"
        )


def test_held_out_puzzles_are_left_out(sudoku4: SudokuTask) -> None:
    held_out = sudoku4.held_out(5)
    fresh = sudoku4.sample(3, np.random.default_rng(0))
    mixed = Puzzles(
        inputs=np.concatenate([held_out.inputs, fresh.inputs]),
        puzzle_ids=np.full(8, -1, np.int32),
        name="both",
    )
    np.testing.assert_array_equal(not_held_out(sudoku4, mixed, 5).inputs, fresh.inputs)
    assert len(not_held_out(SudokuTask(SudokuConfig(size=4)), mixed, 2)) == 6


def test_puzzles_are_compared_with_held_out_ones_in_little_memory() -> None:
    task = MirrorTask(seq_len=80)
    held_out = task.held_out(500).inputs
    many = np.concatenate([held_out, task.sample(9500, np.random.default_rng(0)).inputs])
    puzzles = Puzzles(inputs=many, puzzle_ids=np.full(10_000, -1, np.int32), name="many")
    tracemalloc.start()
    try:
        found = not_held_out(task, puzzles, 500)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == 9500
    assert peak_bytes < 100e6  # every pair of cells would be 400 MB
