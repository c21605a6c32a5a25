"""The public face of the package: every name resolves, and importing it is light."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

import sage
import sage.hrm_core

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"


def loaded_after(code: str) -> set[str]:
    report = f"import sys; {code}; print(*sorted(sys.modules), file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(ran.stderr.split())


@pytest.mark.parametrize("name", sage.hrm_core.__all__)
def test_a_public_name_resolves(name: str) -> None:
    assert not isinstance(getattr(sage.hrm_core, name), types.ModuleType)
    assert name in dir(sage.hrm_core)


def test_the_face_imports_no_torch() -> None:
    assert "torch" not in loaded_after("import sage.hrm_core; sage.hrm_core.ModelConfig")


def test_solving_a_puzzle_imports_no_compiler_of_torch() -> None:
    """torch._dynamo takes 0.9 s to import."""
    modules = loaded_after(f"from sage import solve; solve({PUZZLE!r})")
    assert "torch" in modules
    assert "torch._dynamo" not in modules


def test_solve_answers_a_puzzle() -> None:
    answer = sage.solve(PUZZLE)
    assert answer.solution.is_verified
    assert answer.puzzle == PUZZLE
