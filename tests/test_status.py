"""implementation/STATUS.md says what this version does; what it says is shown by a command is run here, in
its order.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "implementation" / "STATUS.md"


def rows(heading: str) -> list[list[str]]:
    """Cells of each row of the table under a heading."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


SHOWN = [(command.strip("`"), word) for _, command, word in rows("Shown by a command")]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a new user stands: nothing here, and nothing kept."""
    return tmp_path_factory.mktemp("status")


@pytest.mark.torch
@pytest.mark.parametrize(("command", "word"), SHOWN, ids=[command for command, _ in SHOWN])
def test_a_shown_capability_is_shown(
    command: str, word: str, empty: Path, request: pytest.FixtureRequest
) -> None:
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(empty / "state"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
    }
    if " xio " in command or command == "sage coherence":  # which reads what the run of xio left
        environment["SAGE_DATA"] = str(request.getfixturevalue("recordings"))
    if "lavfi" in command:
        pytest.importorskip("av", reason="pip install 'sage-runtime[sensors]'")
    program, *arguments = shlex.split(command)
    assert program == "sage"
    sage = Path(sys.executable).with_name("sage")
    done = subprocess.run(
        [sage, *arguments],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert word in done.stdout


def test_tests_that_are_named_exist(repository: Path) -> None:
    named = [re.sub(r"[`\s]", "", cells[1]) for cells in rows("Shown by tests")]
    assert named
    assert not [path for path in named if not (repository / path).is_file()]


def test_what_is_absent_names_its_part_and_no_date() -> None:
    absent = rows("Absent")
    assert absent
    for capability, part in absent:
        assert re.match(r"[2-7], \w", part), capability
        assert not re.search(r"\b20\d\d\b", capability + part)


def test_no_absent_command_is_listed_by_the_help() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "sage", "--help"], cwd=PAGE.parent, capture_output=True, text=True, check=True
    )
    commands = set(re.findall(r"^  (\w+) ", said.stdout, re.MULTILINE))
    absent = {name for cells in rows("Absent") for name in re.findall(r"`sage (\w+)`", cells[0])}
    assert commands
    assert not absent & commands
