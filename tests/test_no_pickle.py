"""No file that is read can run code: nothing in the package unpickles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

#: Modules whose loads run code of the file, and the option that lets numpy and torch do so.
_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
_OPTIONS = {"allow_pickle": True, "weights_only": False}


def offences(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.split(".")[0] in _MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _MODULES:
            yield from (each.name for each in node.names if each.name != "UnpicklingError")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keywords = {each.arg: each.value for each in node.keywords}
            for option, unsafe in _OPTIONS.items():
                value = keywords.get(option)
                if isinstance(value, ast.Constant) and value.value is unsafe:
                    yield f"{name}({option}={unsafe})"
            if name == "torch.load" and "weights_only" not in keywords:
                yield "torch.load without weights_only"


def test_the_package_has_no_pickle(repository: Path) -> None:
    found = {
        str(path.relative_to(repository)): list(offences(path.read_text()))
        for path in sorted((repository / "sage").rglob("*.py"))
    }
    assert len(found) > 300
    assert {path: each for path, each in found.items() if each} == {}


def test_what_unpickles_is_found() -> None:
    imports = "import pickle\nfrom joblib import load\n"
    loads = "np.load(f, allow_pickle=True)\ntorch.load(f, weights_only=False)\ntorch.load(f)\n"
    assert len(list(offences(imports + loads))) == 5
    assert not list(offences("np.load(f, allow_pickle=False)\ntorch.load(f, weights_only=True)"))
