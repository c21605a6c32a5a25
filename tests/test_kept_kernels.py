"""Kernels are kept on disk where a folder can be written, and compiled at each start elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage import compiled
from sage.compiled import has_compiler, kernel

pytestmark = pytest.mark.skipif(not has_compiler(), reason="numba is not installed")


def _doubled(number: int) -> int:
    return 2 * number


def test_a_service_that_may_write_in_no_folder_compiles_at_each_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a unit with a read-only home, or a container of an account without one."""
    from numba.core import caching

    def refuse(self: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(caching._CacheLocator, "ensure_cache_path", refuse)
    assert kernel(_doubled)(21) == 42


def test_an_account_without_a_home_folder_compiles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(name: str) -> str:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(compiled, "user_cache_dir", no_home)
    assert kernel(_doubled)(21) == 42


def test_a_line_says_that_a_kernel_is_compiled_for_the_first_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once a process, before the first call; none where the kernel is kept."""
    said: list[str] = []
    monkeypatch.setattr(compiled, "_say", lambda what, **facts: said.append(what))
    monkeypatch.setattr(compiled, "user_cache_dir", lambda name: str(tmp_path))
    for _ in range(2):
        compiled._say_first.cache_clear()
        kernel(_doubled)
        assert said == ["inner loops are compiled, which can take minutes, and kept for the next start"]
