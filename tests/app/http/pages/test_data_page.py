"""The viewer of data sets in Chromium, as a file without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sage.app.boards.file import write_file
from sage.hrm_core.datasets.layout import write_identifiers, write_ungrouped


def test_a_file_shows_its_examples_without_a_request(chromium: Any, tmp_path: Path) -> None:
    for side, num in (("train", 30), ("test", 4)):
        cells = np.full((num, 16), 2, np.uint8)
        write_ungrouped(tmp_path / "small" / side, cells, cells, vocab_size=6, forms=2)
    write_identifiers(tmp_path / "small", [])
    write_file(tmp_path / "small", tmp_path / "small.html", num=20)
    chromium.open((tmp_path / "small.html").as_uri())
    chromium.until("document.querySelectorAll('.example').length === 12")
    shown = "document.querySelector('[role=status]').textContent"
    assert chromium.run(shown) == "1 to 12 of 20"
    button = "[...document.querySelectorAll('button')].find((each) => each.textContent.startsWith({!r}))"
    chromium.run(button.format("Next") + ".click()")
    chromium.until(f"{shown} === '13 to 20 of 20'")
    chromium.run(button.format("test") + ".click()")
    chromium.until(f"{shown} === '1 to 4 of 4'")
    assert chromium.run("document.querySelectorAll('.example svg.board').length") == 8
    chromium.set_width(390)
    assert chromium.run("document.documentElement.scrollWidth") <= 390
    assert not chromium.complaints
    assert all(each.startswith(("file:", "data:")) for each in chromium.requested)
