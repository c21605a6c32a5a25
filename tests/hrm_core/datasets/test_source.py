"""Where CSV files come from: a folder, or the hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage.errors import InputError
from sage.hrm_core.datasets.build_sudoku import build_sudoku
from sage.hrm_core.datasets.source import source_file


def test_a_missing_source_raises_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"give a folder with train\.csv"):
        build_sudoku("/nowhere", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_as_source_is_refused_without_a_request(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("question,answer\n")
    with pytest.raises(InputError, match=r"train\.csv: a file: give a folder"):
        source_file(tmp_path / "train.csv", "train")


def test_one_failed_request_is_one_line_and_the_cache_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a connection the download is called once, for the cache only, so that it does not retry."""
    import huggingface_hub

    calls: list[object] = []

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no connection\nand more lines")

    def cached(*_: object, local_files_only: bool, **__: object) -> str:
        calls.append(local_files_only)
        if len(calls) > 1:
            raise FileNotFoundError("not in the cache")
        return str(tmp_path / "train.csv")

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", refuse)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", cached)
    assert source_file("owner/name", "train") == tmp_path / "train.csv"
    with pytest.raises(InputError, match="no connection: download it elsewhere and give its") as caught:
        build_sudoku("owner/name", out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert calls == [True, True]
    assert not (tmp_path / "out").exists()
