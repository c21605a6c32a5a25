"""`sage data view`: one file, without requests."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from sage.app.boards import file as boards_file
from sage.app.cli.main import invoke


def test_one_file_holds_everything(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small.html"
    assert invoke(["data", "view", str(dataset), "--out", str(out), "--num", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(out), "num_bytes": out.stat().st_size}
    page = out.read_text()
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert not re.search(r"^(import|export) ", page, re.MULTILINE)
    held = json.loads(re.search(r'id="data">(.*?)</script>', page).group(1))  # type: ignore[union-attr]
    assert [len(held["examples"][side]) for side in ("train", "test")] == [4, 2]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)  # type: ignore[union-attr]
    for tag in ("style", 'script type="module"'):
        code = re.search(rf"<{tag}>(.*?)</", page, re.DOTALL).group(1)  # type: ignore[union-attr]
        assert f"sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}" in policy
    assert "unsafe" not in policy


def test_what_cannot_be_written_is_one_line(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*more: str, folder: Path = dataset, out: Path = tmp_path / "out.html") -> str:
        assert invoke(["data", "view", str(folder), "--out", str(out), *more]) == 2
        said = capsys.readouterr().err.strip()
        assert "\n" not in said
        return said

    assert "no such folder" in fault(folder=tmp_path)
    assert "num is 5001: give 1 to 5000" in fault("--num", "5001")
    assert "give another --out" in fault(out=tmp_path / "missing" / "out.html")
    monkeypatch.setattr(boards_file, "MAX_BYTES", 1000)
    assert "give a smaller --num" in fault()
    assert not (tmp_path / "out.html").exists()
