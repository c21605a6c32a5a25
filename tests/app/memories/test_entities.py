"""`sage entities show`: the table, one source, JSON, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sage.app.cli.main import invoke
from sage.app.config.state_dir import MIND_NAME
from sage.app.memories import archive as archives
from sage.app.memories.entities import as_plain, judged, render
from sage.app.terminal.errors import UserError
from sage.memory.stores.entities import EntityMemory
from sage.memory.stores.journal_file import JournalContents
from sage.runtime.snapshot import STATE


@pytest.fixture
def archive(tmp_path: Path) -> archives.Archive:
    """One mind, in which gps is always wrong in context 1 and imu always right."""
    entities = EntityMemory(2)
    for _ in range(20):
        entities.judge(["gps", "imu"], np.array([0.0, 1.0]), context=1)
    save_file({f"entities.{name}": array for name, array in entities.state().items()}, tmp_path / STATE)
    minds = tuple(
        archives.Mind(key=key, folder=folder, about={}, contents=JournalContents(), tables=())
        for key, folder in (("abc", tmp_path), ("empty", None))
    )
    return archives.Archive(state_dir=tmp_path, minds=minds, damaged=())


def test_a_table_has_every_source_and_context(archive: archives.Archive) -> None:
    lines = render(judged(archive)).splitlines()
    assert lines[0] == "mind abc"
    assert lines[1].split() == ["source", "context", "right", "wrong", "trust", "90%", "interval"]
    assert [line.split()[:2] for line in lines[2:]] == [
        ["gps", "1"], ["gps", "all"], ["imu", "1"], ["imu", "all"],
    ]  # fmt: skip
    assert float(lines[2].split()[4]) < 0.3 < 0.9 < float(lines[4].split()[4])


def test_one_source_is_shown_alone(archive: archives.Archive) -> None:
    plain = as_plain(judged(archive, "imu"))
    assert [mind["mind"] for mind in plain] == ["abc"]
    assert {each["name"] for each in plain[0]["judgements"]} == {"imu"}
    json.dumps(plain, allow_nan=False)


def test_an_unknown_source_is_refused(archive: archives.Archive) -> None:
    with pytest.raises(UserError, match="--source gsp") as refused:
        judged(archive, "gsp")
    assert "gps" in str(refused.value)


def test_a_folder_without_memories_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["entities", "show", str(tmp_path)]) == 2
    assert "no memories are stored here" in capsys.readouterr().err
    (tmp_path / MIND_NAME).mkdir()
    assert invoke(["entities", "show", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no source has been judged yet\n"
