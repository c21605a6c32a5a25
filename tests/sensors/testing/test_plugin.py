"""The pytest plugin in a package of its own, and what it costs the pytest of others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sage.sensors.contract_version import CONTRACT_VERSION, contract_problem
from sage.sensors.testing.bench import CheckFailed
from sage.sensors.testing.conformance import CHECKS
from sage.sensors.testing.effector_conformance import EFFECTOR_CHECKS
from sage.sensors.testing.environment_conformance import ENVIRONMENT_CHECKS
from sage.sensors.testing.suites import Subject

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

SUITE = """
import pytest

from sage.sensors import SensorUnavailable
from sage.sensors.devices.synthetic import SyntheticConfig, SyntheticSensor
from sage.sensors.effectors.recording import RecordingEffector
from sage.sensors.environments.key_door import KeyDoorEnvironment


class Frozen(SyntheticSensor):
    def read_into(self, out):
        reading = super().read_into(out)
        out[3] = float("nan")
        return reading


class Absent(SyntheticSensor):
    def open(self):
        raise SensorUnavailable("no such device: plug it in")


class Future(SyntheticSensor):
    contract_version = 99


@pytest.mark.sage_sensor(kind=SyntheticSensor, rate_hz=10)
@pytest.mark.sage_sensor(kind=Frozen)
def test_sensors(sage_check):
    sage_check()


@pytest.mark.sage_sensor(kind=lambda context: SyntheticSensor(SyntheticConfig(), context))
def test_function(sage_check):
    sage_check()


@pytest.mark.sage_effector(kind=RecordingEffector, size=2)
def test_effector(sage_check):
    sage_check()


@pytest.mark.sage_environment(kind=KeyDoorEnvironment)
def test_environment(sage_check):
    sage_check()


@pytest.mark.sage_sensor(kind="no_such_kind")
def test_kind(sage_check):
    sage_check()


@pytest.mark.sage_sensor(kind=Absent)
def test_absent(sage_check):
    sage_check()


@pytest.mark.sage_sensor(kind=Future)
def test_future(sage_check):
    sage_check()


@pytest.mark.sage_sensor(kind=SyntheticSensor, rate_hz=-1)
def test_keys(sage_check):
    sage_check()


def test_fixtures(sage_context, sage_clock):
    sage_clock.advance(5)
    assert sage_context.clock.now_ns() == 5
"""


def run_pytest(folder: Path, *arguments: str) -> str:
    """Output of a pytest of another package, with this plugin and no other."""
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": "", "COLUMNS": "300"}
    options = ["-p", "sage.sensors.testing.plugin", "-p", "no:cacheprovider", "--strict-markers", "-rA"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--rootdir", str(folder), *options, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    ).stdout


def test_a_mark_gives_one_test_for_each_check(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    out = run_pytest(tmp_path)
    lines = out.splitlines()

    def outcomes(test: str, word: str) -> set[str]:
        start = f"{word} test_suite.py::{test}["
        return {line.removeprefix(start).partition("]")[0] for line in lines if line.startswith(start)}

    nan = "readings_are_whole"
    assert outcomes("test_function", "PASSED") == set(CHECKS), out
    assert outcomes("test_effector", "PASSED") == set(EFFECTOR_CHECKS)
    assert outcomes("test_environment", "PASSED") == set(ENVIRONMENT_CHECKS)
    assert outcomes("test_sensors", "PASSED") >= {f"SyntheticSensor-{check}" for check in CHECKS}
    assert f"Frozen-{nan}" in outcomes("test_sensors", "FAILED")
    assert "Failed: Frozen: readings_are_whole: a reading has NaN or infinity: return None" in out
    assert outcomes("test_kind", "FAILED") == set(CHECKS)
    assert "no installed package has this kind: give it an entry point in group sage.sensors" in out
    assert not outcomes("test_absent", "PASSED") | outcomes("test_absent", "FAILED")
    assert "no such device: plug it in" in out
    assert outcomes("test_future", "FAILED") == {"contract_is_this_one"}
    assert "rate_hz: Input should be greater than 0: correct the keys of the marker" in out
    assert "PASSED test_suite.py::test_fixtures" in out
    assert "Traceback" not in out


def test_a_test_without_a_mark_or_a_kind_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(sage_check):\n    sage_check()\n")
    assert "mark it with @pytest.mark.sage_sensor(kind=...)" in run_pytest(tmp_path)
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.sage_sensor(rate_hz=1)\ndef test_it(sage_check):\n    sage_check()\n"
    )
    assert "give sage_sensor(kind=..., key=value)" in run_pytest(tmp_path)


def test_loading_it_imports_neither_numpy_nor_the_kit() -> None:
    code = (
        "import sys, pytest, sage.sensors.testing.plugin;"
        "print(sorted({'numpy', 'pydantic', 'torch', 'sage.sensors.contract'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
def test_the_package_registers_it(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"sage": "sage.sensors.testing.plugin"}


def test_a_module_that_raises_when_it_is_imported_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed as pip leaves it: a module and the metadata with its entry point."""
    (tmp_path / "broken_wind.py").write_text("raise OSError('no device on /dev/ttyUSB0')\n")
    metadata = tmp_path / "broken_wind-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-wind\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[sage.sensors]\nbroken_wind = broken_wind:Wind\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = Subject("sensors", "broken_wind").check("readings_are_whole", tmp_path)
    assert not result.is_ok
    assert "importing broken_wind:Wind raised OSError: no device on /dev/ttyUSB0" in result.detail
    assert "touches no device when it is imported" in result.detail


@pytest.mark.parametrize(
    ("made_for", "remedy"),
    [
        (CONTRACT_VERSION, None),
        (CONTRACT_VERSION + 1, "upgrade sage-runtime, or install a version of sage-wind for contract"),
        (0, "give the version that it is made for"),
        ("1", "give the version that it is made for"),
        (True, "give the version that it is made for"),
    ],
)
def test_a_plugin_of_another_contract_version_is_refused_with_the_remedy(
    made_for: object, remedy: str | None
) -> None:
    kind = type("Wind", (), {"contract_version": made_for})
    problem = contract_problem(kind, "sage-wind")
    assert problem == "" if remedy is None else remedy in problem
    assert contract_problem(type("Old", (), {})) == ""


def test_a_kit_that_cannot_begin_is_a_result(tmp_path: Path) -> None:
    def make(context: object) -> object:
        raise CheckFailed("no")

    assert Subject("sensors", make).check("closing_is_safe", tmp_path).detail == "no"
