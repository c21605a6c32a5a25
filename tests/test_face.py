"""The public faces: each exported name loads from where the type checker finds it, and not before first
use.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import sage
from sage.lazy import lazy_face

PACKAGES = (
    "sage",
    "sage.hrm_core",
    "sage.mailbox",
    "sage.mailbox.cuda",
    "sage.mailbox.shared",
    "sage.memory",
    "sage.runtime",
    "sage.sensors",
)


def _typed(package: str) -> dict[str, tuple[str, str]]:
    """Exported name -> (module, its name there), of the imports that only type checkers run."""
    module = importlib.import_module(package)
    tree = ast.parse(Path(module.__file__ or "").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in imports
        for alias in node.names
        for node in imports
        for alias in node.names
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_exported_name_loads_from_where_the_type_checker_finds_it(package: str) -> None:
    face, typed = importlib.import_module(package), _typed(package)
    assert {*face.__all__} - {"__version__"} == {*typed}
    for name, (module, other) in typed.items():
        assert getattr(face, name) is getattr(importlib.import_module(module), other)
        assert name in dir(face)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_that_is_not_exported_raises(package: str) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = importlib.import_module(package).no_such_name


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_face_loads_neither_torch_nor_numba(package: str) -> None:
    code = f"import sys, {package}; sys.exit(bool({{'torch', 'numba'}} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0


def test_a_lazy_name_is_looked_up_once() -> None:
    getattr_, _ = lazy_face("sage", {"DataError": "sage.errors"})
    vars(sage).pop("DataError", None)
    assert getattr_("DataError") is vars(sage)["DataError"]
