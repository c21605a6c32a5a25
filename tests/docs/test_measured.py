"""docs/measured.md and docs/fleet.md have the figures of the result files that they name."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROW = re.compile(r"^\| `[^`]+` \| (\d+) \| (\d+) \| (\d+) \| \[(\w[\w-]*)\]\(", re.MULTILINE)


def test_bars_met_missed_and_owed_are_those_of_the_files(repository: Path) -> None:
    page = (repository / "docs" / "measured.md").read_text()
    rows, missed = ROW.findall(page), page.partition("## Missed bars")[2]
    assert len(rows) > 15
    num_missed = 0
    for *counts, name in rows:
        document = json.loads((repository / f"implementation/results/{name}.json").read_text())
        met = [bar["met"] for bar in document["bars"]]
        assert [int(each) for each in counts] == [met.count(value) for value in (True, False, None)], name
        for bar in document["bars"]:
            if bar["met"] is False:
                num_missed += 1
                assert f"| {document['bench']} | {bar['name'].replace('|z|', 'abs(z)')} |" in missed
    assert missed.count("\n| ") - 1 == num_missed
