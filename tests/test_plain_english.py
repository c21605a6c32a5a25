"""Phrases that must not come back: in docs, help, log messages, errors, docstrings and comments of the
package.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Archaic, poetic or personifying wording, as patterns of whole words.
PHRASES = (
    r"whoever",
    r"whomever",
    r"whom",
    r"nobody",
    r"somebody",
    r"anybody",
    r"tells? (no|it|them|its|which|us|you)",
    r"(is|are|was|were|not|be) told",
    r"told (apart|by|from|of|to)",
    r"(who|that|which|it|they|he) knows?",
    r"knows? (nothing|of|by|no|its|what|how|whether)",
    r"bears? (the|a|no|its)",
    r"(has|have) to say",
    r"says? nothing",
    r"goes on (from|as|with|where|in)",
    r"go on (with|from|as)",
    r"without a word",
    r"of its own accord",
    r"the dead",
    r"died (with|of)",
    r"its own affair",
    r"harms (nobody|no)",
    r"ends himself",
    r"a machine tells",
    r"lives? of messages",
    r"as good a one",
    r"to the same bits",
    r"keeps what it keeps",
    r"a fresh start:",
    r"whose fault",
    r"of one's own",
    r"was lived",
    r"on their way",
    r"afresh",
    r"stands? in for",
    r"only ticks move",
)
_PATTERN = re.compile(rf"\b({'|'.join(PHRASES)})\b", re.IGNORECASE)
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "sage").rglob("*.md")),
    *sorted((ROOT / "sage" / "app" / "configs").rglob("*.yaml")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
]
#: Its older entries are history.
HISTORY = {"CHANGELOG.md"}
SOURCES = sorted([*(ROOT / "sage").rglob("*.py"), *(ROOT / "examples").glob("*.py")])


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every string and comment of a source file."""
    source = path.read_text()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def _found(text: str) -> list[str]:
    return [match[0] for match in _PATTERN.finditer(" ".join(text.split()))]


@pytest.mark.parametrize(
    "phrase",
    [
        "this machine tells no temperature",
        "Who asks bears the token",
        "stopped without a word",
        "of tokens that know nothing of each other",
        "a model whose task is not told",
        "who writes there ends himself, and harms nobody",
    ],
)
def test_the_patterns_find_what_they_are_for(phrase: str) -> None:
    assert _found(phrase)


@pytest.mark.parametrize(
    "path", [page for page in PAGES if page.name not in HISTORY], ids=lambda path: path.name
)
def test_a_page_has_none_of_the_phrases(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert not [f"{number}: {found}" for number, line in enumerate(lines, 1) if (found := _found(line))]


def test_the_sources_have_none_of_the_phrases() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {found}"
        for path in SOURCES
        for line, text in _texts(path)
        if (found := _found(text))
    ]
    assert not wrong, "\n".join(wrong)
