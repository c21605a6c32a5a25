"""One trainer for many machines: the arithmetic of the plan, and that the page's figures are the file's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fleet import Measured, plan_of


def test_the_plan_is_arithmetic_on_the_figures() -> None:
    found = Measured(
        num_puzzles=100,
        journal_bytes=1000.0,
        memory_bytes=50_000,
        weights_bytes=200_000,
        restore_cpu_secs=1.0,
        night_cpu_secs=29.0,
        night_steps=120,
        outcome="accepted",
    )
    plan = plan_of(found, 2000.0)
    assert plan.sent_bytes_an_hour == 2_000_000
    assert plan.received_bytes_an_hour == 1_200_000
    assert plan.cpu_secs_an_hour == pytest.approx(180.0)
    assert plan.machines_a_core == pytest.approx(20.0)


def test_the_page_has_the_figures_of_its_file(repository: Path) -> None:
    page = (repository / "docs/fleet.md").read_text()
    (name,) = set(re.findall(r"results/(fleet_[\w-]+)\.md", page))
    measured = json.loads((repository / f"implementation/results/{name}.json").read_text())["results"][
        "measured"
    ]
    for text in (
        f"| {measured['num_puzzles']:,} |",
        f"{measured['journal_bytes']:,.0f} bytes",
        f"{measured['memory_bytes']:,} bytes",
        f"{measured['weights_bytes']:,} bytes",
        f"{measured['night_cpu_secs']:.1f} CPU s on one thread",
    ):
        assert text in page
