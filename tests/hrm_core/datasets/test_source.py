"""Where CSV files come from: a folder, or the hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage.hrm_core.datasets.build_sudoku import build_sudoku


def test_a_missing_source_raises_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"give a folder with train\.csv"):
        build_sudoku("/nowhere", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failed_download_raises_one_line_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def refuse(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no connection\nand more lines")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(ValueError, match="download it elsewhere and give its folder") as caught:
        build_sudoku("owner/name", out=tmp_path / "out")
    assert "\n" not in str(caught.value)
