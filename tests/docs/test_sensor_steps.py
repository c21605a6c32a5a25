"""The steps of docs/sensors.md and a recipe of README.md, run as they are in an environment of their own."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

STEP = re.compile(r"```(bash|python|yaml)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A virtual environment that also sees this one's packages; its commands need no network."""
    home = tmp_path_factory.mktemp("env")
    venv.create(home, with_pip=False)
    (packages,) = (home / "lib").glob("python*/site-packages")
    seen = [path for path in (*site.getsitepackages(), *sys.path) if path.endswith("site-packages")]
    lines = [f"import site; site.addsitedir({path!r})" for path in dict.fromkeys(seen)]
    (packages / "outer.pth").write_text("\n".join(lines) + "\n")
    for command, module in (("sage", "sage"), ("pip", "pip"), ("pytest", "pytest")):
        script = home / "bin" / command
        script.write_text(f'#!/bin/sh\nexec "{home}/bin/python" -m {module} "$@"\n')
        script.chmod(0o755)
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return kept | {
        "PATH": f"{home}/bin:{os.environ['PATH']}",
        "XDG_STATE_HOME": str(home / "state"),
        # Only what the packages of this machine can give.
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # The environment of this test may be older than the entry point of the plugin.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": "sage.sensors.testing.plugin",
    }


def steps(repository: Path) -> list[tuple[str, str]]:
    """(language, text) of the blocks of the section, in order."""
    page = (repository / "docs/sensors.md").read_text()
    section = page.split("## A sensor in ten minutes\n")[1].split("\n## ")[0]
    return STEP.findall(section)


@pytest.mark.slow
def test_a_person_who_follows_the_steps_has_a_sensor_that_runs(
    repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    folder, seen = tmp_path, ""
    for language, text in steps(repository):
        if language == "bash":
            command = f"set -e\ncd {folder}\n{text}\necho; echo IN $PWD"
            done = subprocess.run(
                ["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=240
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            seen += done.stdout
            folder = Path(done.stdout.rsplit("IN ", 1)[1].strip())
        else:
            name = text.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(text)
    assert folder == tmp_path / "sage-sensor-load"
    assert len(list((folder / "dist").glob("sage_sensor_load-0.1.0-*.whl"))) == 1
    assert re.search(r"holds\s+rate is as claimed\s+0\.5 s between readings", seen), seen
    assert "Session" in seen
    assert "load" in seen.rsplit("Session", 1)[0]


@pytest.mark.slow
def test_the_recipe_of_the_readme_makes_a_sensor_that_holds(
    repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    blocks = [text for _, text in STEP.findall((repository / "README.md").read_text())]
    (recipe,) = (text for text in blocks if "sage sensors new" in text)
    command = ["bash", "-ec", recipe]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "holds" in done.stdout
