"""The pictures of README.md and docs: each is there, is named in words, and is small."""

from __future__ import annotations

import re
from pathlib import Path

MAX_BYTES = 200_000
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")


def test_every_picture_is_there_named_and_small(repository: Path) -> None:
    pages = [repository / "README.md", *sorted((repository / "docs").glob("*.md"))]
    shown = [(page, *found) for page in pages for found in PICTURE.findall(page.read_text())]
    files = {(page.parent / target).resolve() for page, _, target in shown}
    assert files == set((repository / "docs" / "images").iterdir())
    assert all(len(words) > 40 for _, words, _ in shown)
    assert all(file.stat().st_size < MAX_BYTES for file in files)


def test_the_readme_and_the_page_of_the_live_page_show_it_running(repository: Path) -> None:
    for name in ("README.md", "docs/page.md"):
        assert "images/page.png)" in (repository / name).read_text(), name
