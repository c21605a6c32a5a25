"""Every Python block of docs/python.md and of the README runs; every name that the docs import exists."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
BLOCKS = [
    pytest.param(page, code, id=f"{page.stem}-{number}")
    for page in (ROOT / "README.md", ROOT / "docs" / "python.md")
    for number, code in enumerate(_BLOCK.findall(page.read_text()), start=1)
]


@pytest.mark.parametrize(("page", "code"), BLOCKS)
def test_a_block_runs(page: Path, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = types.ModuleType("documented")
    sys.modules["documented"] = module  # pydantic resolves annotations in the module's namespace
    exec(compile(code, str(page), "exec", dont_inherit=True), module.__dict__)
    printed = capsys.readouterr().out
    assert printed
    assert "FAILS" not in printed


def test_every_name_that_the_docs_import_exists() -> None:
    imports = [
        (page.name, node)
        for page in PAGES
        for code in _BLOCK.findall(page.read_text())
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sage"
    ]
    assert len(imports) > 10
    for page, node in imports:
        module = importlib.import_module(node.module or "")
        missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
        assert not missing, f"{page}: {node.module} has no {', '.join(missing)}"
