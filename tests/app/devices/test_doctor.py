"""`sage doctor` lists the extras that can be installed."""

from __future__ import annotations

import re
from pathlib import Path

from sage.app.devices.doctor import EXTRAS


def test_the_extras_are_those_of_the_package(repository: Path) -> None:
    section = (repository / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1]
    declared = set(re.findall(r"^(\w+) = \[", section.split("\n[")[0], re.MULTILINE))
    # cuda12 is cuda for older drivers; the rest are for checkouts.
    assert {*EXTRAS} == declared - {"cuda12", "bench", "dev", "all"}
