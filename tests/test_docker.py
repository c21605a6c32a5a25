"""The Docker files without an engine: what they copy exists, their RUN lines are scripts that work, their pip
lines name what pyproject.toml has.

What this does not show: the base images, apt's packages, and a board.
"""

from __future__ import annotations

import json
import os
import re
import site
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

from sage.app.cli.main import app

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

FILES = ("docker/Dockerfile", "docker/Dockerfile.jetson")
#: Programs of an image's system that a test must not start on its own machine.
SYSTEM = ("apt-get", "useradd", "chown")


class Instruction(NamedTuple):
    name: str
    text: str


def instructions(path: Path) -> list[Instruction]:
    """Of a Docker file, with continued lines joined and comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n", "", "\n".join(lines))
    return [Instruction(*line.split(None, 1)) for line in text.splitlines() if line.strip()]


def scripts(path: Path) -> list[str]:
    """The RUN lines as a shell gets them."""
    return [re.sub(r"^(--\S+\s+)+", "", each.text) for each in instructions(path) if each.name == "RUN"]


def arguments(path: Path) -> dict[str, str]:
    pairs = [each.text.partition("=") for each in instructions(path) if each.name == "ARG"]
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("name", FILES)
def test_it_is_well_formed_and_names_what_exists(name: str, repository: Path) -> None:
    found = instructions(repository / name)
    names = [each.name for each in found]
    assert names[:2] == ["ARG", "FROM"]
    assert {"USER", "VOLUME", "ENTRYPOINT", "CMD", "HEALTHCHECK"} <= set(names)
    ignored = (repository / ".dockerignore").read_text().splitlines()
    for each in found:
        if each.name == "COPY":
            *sources, target = each.text.split()
            assert target.startswith("./")
            for source in sources:
                assert (repository / source).exists(), source
                assert f"!{source}" in ignored, f"{source} is not in the build's context"
        if each.name in ("ENTRYPOINT", "CMD", "VOLUME"):
            assert isinstance(json.loads(each.text), list)
    for script in scripts(repository / name):
        checked = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True)
        assert checked.returncode == 0, f"{script}: {checked.stderr}"
        used = set(re.findall(r"\$\{(\w+)\}", script))
        assert used <= set(arguments(repository / name)), f"{script}: {used} is no ARG"


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
@pytest.mark.parametrize("name", FILES)
def test_its_extras_and_its_configuration_exist(name: str, repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    extras = arguments(repository / name)["EXTRAS"].split(",")
    assert set(extras) <= set(project["project"]["optional-dependencies"])
    (command,) = [json.loads(each.text) for each in instructions(repository / name) if each.name == "CMD"]
    assert (repository / "configs" / f"{command[1]}.yaml").is_file()
    version = re.search(r"^TORCH_VERSION=(\S+)", (repository / "scripts/environment").read_text(), re.M)
    assert version is not None
    assert arguments(repository / name)["TORCH"] in (f"torch=={version[1]}+cpu", "")


@pytest.mark.parametrize("name", FILES)
def test_a_published_port_reaches_its_page(name: str, repository: Path) -> None:
    """The loopback of a container is its own. The command is one that `sage run` has."""
    (command,) = [json.loads(each.text) for each in instructions(repository / name) if each.name == "CMD"]
    assert command[-3:] == ["--page", "--host", "0.0.0.0"]
    run: Any = get_command(app).commands["run"]  # type: ignore[attr-defined]
    options = {name for each in run.params for name in (*each.opts, *each.secondary_opts)}
    assert {word for word in command if word.startswith("--")} <= options


@pytest.fixture(scope="module")
def shims(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with stand-ins for the system's programs, which sees this one's packages."""
    home = tmp_path_factory.mktemp("image")
    venv.create(home, with_pip=False)
    (packages,) = (home / "lib").glob("python*/site-packages")
    seen = [path for path in (*site.getsitepackages(), *sys.path) if path.endswith("site-packages")]
    lines = [f"import site; site.addsitedir({path!r})" for path in dict.fromkeys(seen)]
    (packages / "outer.pth").write_text("\n".join(lines) + "\n")
    for command in SYSTEM:
        (home / "bin" / command).write_text(f'#!/bin/sh\necho "{command} $*" >>"{home}/system.log"\n')
    (home / "bin" / "pip").write_text(f'#!/bin/sh\nexec "{home}/bin/python" -m pip "$@"\n')
    for command in (*SYSTEM, "pip"):
        (home / "bin" / command).chmod(0o755)
    return home


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_its_run_lines_install_sage(name: str, repository: Path, shims: Path, tmp_path: Path) -> None:
    """As a script, in a folder with what is copied: the system's programs are recorded, pip is real."""
    work = tmp_path / "work"
    work.mkdir()
    for each in instructions(repository / name):
        if each.name == "COPY":
            sources = [str(repository / source) for source in each.text.split()[:-1]]
            subprocess.run(["cp", "-r", *sources, str(work)], check=True)
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    given = arguments(repository / name) | {"TORCH": "torch", "STATE": str(tmp_path / "state")}
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    environment = kept | given | offline | {"PATH": f"{shims}/bin:{os.environ['PATH']}"}
    script = "set -e\n" + "\n".join(scripts(repository / name))
    done = subprocess.run(
        ["bash", "-c", script], cwd=work, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert (tmp_path / "state").is_dir()
    (packages,) = (shims / "lib").glob("python*/site-packages")
    assert (packages / "sage" / "app" / "configs" / "jetson.yaml").is_file()
    log = (shims / "system.log").read_text()
    assert "apt-get install --yes" in log
    assert "useradd" in log


def test_without_a_torch_wheel_the_jetson_image_is_refused(repository: Path) -> None:
    (check,) = [script for script in scripts(repository / FILES[1]) if script.startswith("test -n")]
    done = subprocess.run(["bash", "-c", check], env={"TORCH": ""}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "give --build-arg TORCH=" in done.stderr
