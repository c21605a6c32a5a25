"""The layout of the package: floors, imports without circles, sizes, and modules that load no torch."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
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
    *(
        f"sage.sensors.recordings.{kind}"
        for kind in ("recorded_sensor", "stand_in", "mcap_sensor", "rosbag_sensor")
    ),
    *(f"sage.sensors.effectors.{kind}" for kind in ("journal", "null", "recording")),
    "sage.memory.sensor",
    "sage.sensors.language.language_sensor",
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
    """One imported module. Imports inside functions and for type checkers count like any other."""

    module: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def _modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


MODULES = _modules()
#: Package -> its face, the `__init__` module.
FACES = {name.removesuffix(".__init__"): name for name in MODULES if name.endswith(".__init__")}


def _imports(module: str, path: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [name if name in MODULES or name in FACES else node.module for name in full]
        else:
            continue
        for target in targets:
            yield Import(module, target, node.lineno)


#: Faces are left out: they import what they export, and nothing inside the package imports them.
IMPORTS = [
    each for module, path in MODULES.items() if path.stem != "__init__" for each in _imports(module, path)
]


def _siblings() -> dict[str, dict[str, dict[str, list[Import]]]]:
    """Folder -> sibling -> sibling that it imports -> the imports. A sibling is a file or a subfolder."""
    found: dict[str, dict[str, dict[str, list[Import]]]] = {}
    for each in IMPORTS:
        if each.target not in MODULES:
            continue
        mine, theirs = each.module.split("."), each.target.split(".")
        depth = next(i for i, pair in enumerate(zip(mine, theirs)) if pair[0] != pair[1])
        folder = found.setdefault(".".join(mine[:depth]), {})
        folder.setdefault(mine[depth], {}).setdefault(theirs[depth], []).append(each)
    return found


SIBLINGS = _siblings()


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


@pytest.mark.parametrize("folder", sorted(SIBLINGS))
def test_siblings_do_not_import_each_other_in_a_circle(folder: str) -> None:
    graph = {name: set(targets) for name, targets in SIBLINGS[folder].items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]
        # graphlib lists a node before the one that depends on it.
        steps = [SIBLINGS[folder][b][a][0] for a, b in pairwise(circle)]
        pytest.fail(f"in {folder}: {'; '.join(map(str, steps))}")


def test_nothing_imports_a_face() -> None:
    assert not [str(each) for each in IMPORTS if each.target in FACES]


def test_no_file_has_the_name_of_its_folder() -> None:
    assert not [module for module in MODULES if module.split(".")[-1] == module.split(".")[-2]]


def test_a_folder_holds_at_most_32_files() -> None:
    counts = Counter(path.parent for path in MODULES.values() if path.stem != "__init__")
    assert not {str(folder): count for folder, count in counts.items() if count > 32}


def test_every_folder_is_a_package_and_none_is_empty() -> None:
    folders = {path.parent for path in MODULES.values()}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def _dotted_strings() -> Iterator[tuple[str, str]]:
    """(module, text) of each string constant that is a dotted name of ours, with or without `:NAME`."""
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(r"sage(\.\w+){2,}(:\w+)?", node.value)
            ):
                yield module, node.value


#: Keys of ONNX metadata, not modules.
NOT_MODULES = re.compile(r"sage\.(config|start|task)")


def test_every_dotted_string_names_something_that_exists() -> None:
    """Registries, catalogues, lazy faces and `-m` arguments break in silence when a module moves."""
    found = [each for each in _dotted_strings() if not NOT_MODULES.fullmatch(each[1])]
    assert len(found) > 40
    for module, text in found:
        target, _, name = text.partition(":")
        assert target in MODULES or target in FACES, f"{module}: {text} does not exist"
        assert not name or hasattr(importlib.import_module(target), name), f"{module}: {text} does not exist"


def test_the_names_of_this_file_exist() -> None:
    for name in (*CONCRETE, *LIGHT):
        assert name in MODULES or name in FACES, name


def test_imports_are_absolute() -> None:
    relative = [
        f"{module}:{node.lineno}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative


def test_the_loops_floors_multiply_arrays_with_dot() -> None:
    """`@` on numpy arrays checks floating-point flags, which BLAS sets at random; `dot` does not."""
    wrong = [
        f"{module}:{node.lineno}"
        for module, path in MODULES.items()
        if _floor(module) in ("memory", "runtime", "sensors", "mailbox")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)
    ]
    assert not wrong


def test_the_runtime_names_no_plugin_and_no_concrete_device() -> None:
    forbidden = ("sage.related_work", "sage.gr00t_integration", "sage.sensors.environments")
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
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (lines := _length(node)) > 70
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
