"""A folder of episodes is complete or says what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sage.errors import DataError, InputError
from sage.hrm_core.from_search.episodes import DEAD, PUZZLE, EpisodeFolder, Episodes, PartFigures

FIGURES = PartFigures(num_puzzles=2, num_solved=1, num_plain=0, num_calls=9, cpu_secs=0.5, is_complete=True)


def episodes(num: int = 3) -> Episodes:
    cells = np.arange(num * 4, dtype=np.int32).reshape(num, 4)
    numbers = np.arange(num)
    return Episodes(
        inputs=cells,
        labels=cells + 1,
        puzzle_ids=np.full(num, -1, np.int32),
        kind=np.where(numbers % 2, DEAD, PUZZLE).astype(np.int8),
        puzzle=numbers,
        calls=numbers.astype(np.int32),
    )


def test_parts_are_read_back_in_order(tmp_path: Path) -> None:
    folder = EpisodeFolder(tmp_path / "episodes")
    assert not folder.exists
    folder.begin({"model": "a", "search": 4})
    folder.write(1, episodes(2), FIGURES)
    folder.write(0, episodes(3), FIGURES)
    found, figures = folder.read_all()
    np.testing.assert_array_equal(found.inputs, np.concatenate([episodes(3).inputs, episodes(2).inputs]))
    assert found.kind.dtype == np.int8
    assert figures == (FIGURES, FIGURES)
    assert folder.source() == {"model": "a", "search": 4}
    folder.begin({"search": 4, "model": "a"})


def test_an_empty_part_can_be_written(tmp_path: Path) -> None:
    folder = EpisodeFolder(tmp_path)
    folder.begin({})
    folder.write(0, Episodes.empty(4), FIGURES)
    assert folder.read_all()[0].inputs.shape == (0, 4)


def test_another_source_and_a_damaged_part_are_one_line_each(tmp_path: Path) -> None:
    folder = EpisodeFolder(tmp_path)
    with pytest.raises(DataError, match=r"source\.json: cannot be read"):
        folder.source()
    folder.begin({"model": "a"})
    with pytest.raises(InputError, match='model is "a" in the folder and "b" here'):
        folder.begin({"model": "b"})
    with pytest.raises(InputError, match="contains no episodes"):
        folder.read_all()
    (tmp_path / "part-00000.safetensors").write_bytes(b"none")
    with pytest.raises(DataError, match="part-00000"):
        folder.read_all()
    (tmp_path / "source.json").write_text("[]")
    with pytest.raises(DataError, match="is no mapping"):
        folder.source()
