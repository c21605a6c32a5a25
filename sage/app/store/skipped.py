"""Why sources got no full attention, in a tick's row.

Invariant: what follows from a source's other facts takes no space; rows of earlier versions have nothing
else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sage.runtime.report import SourceFacts
from sage.runtime.scheduling.skips import NOT_DUE, WORDS


def pack_skipped(sources: Sequence[SourceFacts]) -> tuple[str, ...]:
    """The words of all sources, or () where each is the expected one."""
    words = tuple(source.skipped for source in sources)
    return () if all(word in ("", _expected(source)) for word, source in zip(words, sources)) else words


def with_skipped(sources: Sequence[SourceFacts], words: Sequence[str]) -> tuple[SourceFacts, ...]:
    words = words or [_expected(source) for source in sources]
    return tuple(replace(source, skipped=word) for source, word in zip(sources, words))


def _expected(source: SourceFacts) -> str:
    if source.is_attended:
        return ""
    if source.status != "running":
        return source.status
    return "" if source.is_fresh else WORDS[NOT_DUE]
