"""The map of the conformance list names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAP = ROOT / "implementation" / "CONFORMANCE_mailbox.md"
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", MAP.read_text())


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED}))
def test_every_test_that_is_named_exists(path):
    file = ROOT / path if path.startswith("tests/") else ROOT / "tests" / "mailbox" / path
    text = file.read_text()
    missing = [
        name
        for named, name in NAMED
        if named == path and not re.search(rf"^(def |class )?{name}\b( =|\(|:)", text, re.MULTILINE)
    ]
    assert missing == []


def test_every_row_names_a_test():
    assert len(NAMED) > 100
    for line in MAP.read_text().partition("## Absent")[0].splitlines():
        if line.startswith("| ") and not line.startswith(("| line", "|---")):
            assert "::" in line, line
