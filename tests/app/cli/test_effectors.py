"""`sage effectors list|check|new`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage.app.cli.main import invoke


def test_list_has_the_built_in_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["effectors", "list", "--json"]) == 0
    kinds = {kind["kind"]: kind for kind in json.loads(capsys.readouterr().out)}
    assert {"journal", "null", "recording"} <= kinds.keys()
    assert "path" in kinds["journal"]["keys"]
    assert "max_slew" not in kinds["journal"]["keys"]


def test_check_runs_the_kit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "actions.jsonl"
    arguments = ["--set", f"path={path}", "--set", "timeout_secs=10", "--json"]
    assert invoke(["effectors", "check", "journal", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["is_ok"]
    assert path.stat().st_size > 0
    assert invoke(["effectors", "check", "journal", "--set", f"path={tmp_path}"]) == 2
    assert "give a path" in capsys.readouterr().err
    assert invoke(["effectors", "check", "jurnal"]) == 2
    assert "journal" in capsys.readouterr().err


def test_new_writes_a_package_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["effectors", "new", "hand", "--into", str(tmp_path)]) == 0
    assert "sage effectors check hand" in capsys.readouterr().out
    assert (tmp_path / "sage-effector-hand" / "sage_effector_hand.py").exists()
    for name, problem in (("hand", "not empty"), ("null", "the kind exists"), ("9", "lower-case")):
        assert invoke(["effectors", "new", name, "--into", str(tmp_path)]) == 2
        assert problem in capsys.readouterr().err
