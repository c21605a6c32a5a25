"""`sage memory export`: the file is complete, or the one that was there before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sage.app.cli.main import invoke
from sage.app.memories import export
from tests.app.memories.test_memories import make


@pytest.mark.parametrize("suffix", ["jsonl", "msgpack", "parquet"])
def test_an_export_that_fails_leaves_the_file_of_before(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    state = make(tmp_path / "state")
    out = tmp_path / "exports" / f"a.{suffix}"
    out.parent.mkdir()
    command = ["memory", "export", str(out), "--state-dir", str(state.home)]
    assert invoke(command) == 0
    before = out.read_bytes()
    records = export.records

    def cut_short(archive) -> Iterator[tuple]:
        yield next(records(archive))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "records", cut_short)
    capsys.readouterr()
    assert invoke(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device" in line
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def test_a_name_with_a_newline_is_one_line(tmp_path: Path, capsys) -> None:
    state = make(tmp_path / "state")
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "a\nb.jsonl")
    for path in (tmp_path / "a\nb.jsonl", link):
        assert invoke(["memory", "export", str(path), "--state-dir", str(state.home)]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert line.endswith("memories")
    assert link.is_symlink()
