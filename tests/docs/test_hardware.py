"""The times of docs/hardware.md are those of the results and of the page that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROW = re.compile(r"^\| (.+?) \| (.+?) \| (.+?) \| (measured here|quoted)[:,] ?(.*) \|$", re.MULTILINE)
#: What a file's first lines call the machine of a row.
MACHINES = {
    "AMD EPYC, 2 cores": "AMD EPYC (AVX512-BF16), 2 cores",
    "Xeon (AMX), 2 cores": "Intel(R) Xeon(R) Processor (AMX), 2 cores",
    "H100, 80 GB": "GPU: NVIDIA H100 80GB HBM3",
}


@pytest.fixture
def rows(repository: Path) -> list[tuple[str, ...]]:
    return ROW.findall((repository / "docs" / "hardware.md").read_text())


def test_a_measured_time_is_in_its_result_of_that_machine(
    repository: Path, rows: list[tuple[str, ...]]
) -> None:
    measured = [row for row in rows if row[3] == "measured here"]
    assert len(measured) > 10
    for task, machine, time, _, source in measured:
        name = re.search(r"\[(\S+)\]\(\.\./implementation/results/\1\.md\)", source)
        assert name, task
        result = (repository / f"implementation/results/{name[1]}.md").read_text()
        assert MACHINES[machine] in result, task
        assert "`" in source
        for figure in re.findall(r"[\d.]+", time):
            assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", result), (task, figure)


def test_a_quoted_time_is_that_of_the_recipe_in_training_md(
    repository: Path, rows: list[tuple[str, ...]]
) -> None:
    page = (repository / "docs" / "training.md").read_text()
    quoted = [row for row in rows if row[3] == "quoted"]
    assert len(quoted) == 5
    for task, _, time, _, source in quoted:
        recipe = re.search(r"`(\w+)`", task)
        assert recipe, task
        assert re.search(rf"sage train {recipe[1]} .*\| {re.escape(time)} \|", page), task
        assert "sapientinc/HRM" in source
