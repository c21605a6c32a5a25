"""uv.lock: what `uv sync` installs. Only files of PyPI, each with its hash, and no torch, whose build depends
on the machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

tomllib = pytest.importorskip("tomllib", reason="a part of Python from 3.11 on")


@pytest.fixture(scope="module")
def lock(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "uv.lock").read_text())


def test_it_locks_files_of_pypi_and_no_torch(lock: dict[str, Any]) -> None:
    packages = {package["name"]: package for package in lock["package"]}
    assert packages.pop("sage-runtime")["source"] == {"editable": "."}
    assert {"numpy", "numba", "pydantic", "pytest"} <= packages.keys()
    assert not [name for name in packages if name == "torch" or re.match("nvidia-cu(dnn|blas|fft)", name)]
    for package in packages.values():
        assert package["source"] == {"registry": "https://pypi.org/simple"}
        files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
        assert files
        for file in files:
            assert urlsplit(file["url"])[:2] == ("https", "files.pythonhosted.org")
            assert re.fullmatch("sha256:[0-9a-f]{64}", file["hash"])


def test_it_is_as_new_as_pyproject(lock: dict[str, Any], repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    ours = next(package for package in lock["package"] if package["name"] == "sage-runtime")
    asked = [
        (_name(line), extra)
        for extra, lines in {"": project["dependencies"], **project["optional-dependencies"]}.items()
        for line in lines
    ]
    locked = [
        (each["name"], *(re.findall("extra == '(.*?)'", each.get("marker", "")) or [""]))
        for each in ours["metadata"]["requires-dist"]
    ]
    assert sorted({pair for pair in locked if pair[0] != "sage-runtime"}) == sorted(
        {pair for pair in asked if pair[0] != "sage-runtime"}
    ), "run `uv lock`"
    assert lock["requires-python"] == project["requires-python"]


def test_uv_takes_the_lock_as_it_is(repository: Path, tmp_path: Path) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not installed: pip install uv")
    for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(repository / name, tmp_path)
    checked = subprocess.run(
        [uv, "lock", "--check", "--offline", "--cache-dir", str(tmp_path / "cache")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def _name(requirement: str) -> str:
    return re.split(r"[\s\[<>=;!~]", requirement, maxsplit=1)[0].lower().replace("_", "-")
