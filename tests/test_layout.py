"""The house stands: a floor imports only floors below it, nothing goes in a circle, light things stay
light.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import sage

PACKAGE = Path(sage.__file__).parent
FLOORS = {
    "mailbox": 0,
    "hrm_core": 0,
    "sensors": 1,
    "memory": 2,
    "related_work": 3,
    "gr00t_integration": 3,
    "runtime": 4,
    "app": 5,
}
SIGNPOSTS = ("hrm_core", "mailbox", "sensors", "memory", "gr00t_integration", "related_work")
#: What a run is made of and only app may name.
CONCRETE = {
    *(f"sage.sensors.devices.{kind}" for kind in ("audio", "clock", "host", "synthetic", "table", "video")),
    "sage.sensors.effectors.recording",
    "sage.memory.sensor",
}
LIGHT = (
    "sage",
    "sage.mailbox",
    "sage.sensors",
    "sage.sensors.contract",
    "sage.app.config.sage_config",
    "sage.app.cli.main",
    "sage.app.config.registry",
)


@dataclass(frozen=True)
class Import:
    """is_eager: done when the module is loaded; the rest are inside functions or for type checkers alone."""

    module: str
    target: str
    line: int
    is_eager: bool


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imports(module: str, path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(), str(path))
    lazy = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_type_checking(node)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [name if name in MODULES else node.module for name in full]
        else:
            continue
        for target in targets:
            yield Import(module, target, node.lineno, id(node) not in lazy)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


IMPORTS = [each for module, path in MODULES.items() for each in _imports(module, path)]


def _floor(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "sage" and len(parts) > 1 else ""


def test_every_package_has_its_floor() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(FLOORS)


def test_no_import_reaches_above_or_beside_its_floor() -> None:
    wrong = [
        f"{each.module}:{each.line} imports {each.target}"
        for each in IMPORTS
        if (mine := _floor(each.module)) in FLOORS
        and (theirs := _floor(each.target)) in FLOORS
        and mine != theirs
        and FLOORS[theirs] >= FLOORS[mine]
    ]
    assert not wrong


def test_no_imports_go_in_a_circle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for each in IMPORTS:
        # A package's own docstring module imports nothing of its parts that would need it first.
        if each.is_eager and each.target in MODULES and each.target != each.module:
            graph[each.module].add(each.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' -> '.join(error.args[1])}")


def test_imports_are_absolute() -> None:
    relative = [
        f"{module}:{node.lineno}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative


def test_the_runtime_names_no_plugin_and_no_concrete_device() -> None:
    forbidden = ("sage.related_work", "sage.gr00t_integration")
    wrong = [
        f"{each.module}:{each.line} imports {each.target}"
        for each in IMPORTS
        if _floor(each.module) == "runtime" and (each.target in CONCRETE or each.target.startswith(forbidden))
    ]
    assert not wrong


def test_only_the_app_prints() -> None:
    wrong = [
        f"{module}:{node.lineno}"
        for module, path in MODULES.items()
        if _floor(module) not in ("", "app")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not wrong


def test_files_and_functions_keep_their_size() -> None:
    long_files = [
        f"{path}: {count}" for path in MODULES.values() if (count := len(path.read_text().splitlines())) > 400
    ]
    long_functions = [
        f"{module}.{node.name}: {lines}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (lines := _length(node)) > 80
    ]
    assert not long_files
    assert not long_functions


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        module for module, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_no_file_has_a_name_that_says_nothing() -> None:
    empty_words = {"utils", "util", "helpers", "common", "misc", "base2"}
    assert not [path for path in MODULES.values() if path.stem in empty_words]


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0


@pytest.mark.parametrize("signpost", SIGNPOSTS)
def test_a_signpost_points_into_the_package(signpost: str, repository: Path) -> None:
    link = repository / signpost
    assert link.is_symlink()
    assert link.readlink() == Path("sage") / signpost
    assert link.resolve() == PACKAGE / signpost


def test_the_tests_see_the_standard_librarys_mailbox() -> None:
    assert importlib.import_module("mailbox").__file__ != str(PACKAGE / "mailbox" / "__init__.py")
    assert hasattr(importlib.import_module("mailbox"), "Maildir")


@pytest.mark.parametrize("signpost", SIGNPOSTS)
def test_the_linter_refuses_a_bare_import_of_a_signpost(signpost: str, repository: Path) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed: pip install 'sage-runtime[dev]'")
    command = [
        str(ruff),
        "check",
        "--no-cache",
        "--select",
        "TID251",
        "--stdin-filename",
        "sage/app/example.py",
        "-",
    ]
    found = subprocess.run(
        command, input=f"import {signpost}\n", capture_output=True, text=True, cwd=repository, check=False
    )
    assert found.returncode == 1
    assert f"import sage.{signpost}" in found.stdout
