import errno
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext
from sage.sensors.testing.conformance import check_sensor
from sage.sensors.testing.effector_scaffold import write_effector_package
from sage.sensors.testing.environment_scaffold import write_environment_package
from sage.sensors.testing.scaffold import write_package

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None


def test_a_new_package_conforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: SensorContext, clock: ManualClock
) -> None:
    write_package("wind_speed", tmp_path / "wind")
    monkeypatch.syspath_prepend(tmp_path / "wind")
    module = importlib.import_module("sage_sensor_wind_speed")
    monkeypatch.delitem(sys.modules, "sage_sensor_wind_speed")
    config = module.WindSpeedConfig()
    assert config.name == config.kind == "wind_speed"
    for result in check_sensor(lambda: module.WindSpeedSensor(config, context), clock=clock):
        assert result.is_ok, f"{result.name}: {result.detail}"


@pytest.mark.parametrize("write", [write_package, write_effector_package, write_environment_package])
def test_its_own_test_passes(write: Callable[[str, Path], object], tmp_path: Path) -> None:
    write("wind_speed", tmp_path)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "sage.sensors.testing.plugin",
        "--rootdir",
        str(tmp_path),
        "tests",
    ]
    roots = f"{tmp_path}:{Path(__file__).parents[2]}"
    environment = {"PYTHONPATH": roots, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
def test_its_entry_point_names_its_class(tmp_path: Path) -> None:
    written = write_package("lidar2", tmp_path / "new")
    assert sorted(path.relative_to(tmp_path / "new").as_posix() for path in written) == [
        "README.md",
        "pyproject.toml",
        "sage_sensor_lidar2.py",
        "tests/test_lidar2.py",
    ]
    project = tomllib.loads((tmp_path / "new" / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["sage.sensors"] == {"lidar2": "sage_sensor_lidar2:Lidar2Sensor"}


@pytest.mark.parametrize("name", ["", "Wind", "2d", "wind-speed", "class", "../x", "wind speed"])
def test_a_name_that_cannot_be_a_kind_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        write_package(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_failed_write_leaves_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text = Path.write_text

    def until_the_disk_is_full(path: Path, *args: Any, **kwargs: Any) -> int:
        if path.name == "README.md":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", until_the_disk_is_full)
    with pytest.raises(OSError, match="No space"):
        write_package("wind", tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("precious")
    with pytest.raises(FileExistsError, match="new or empty"):
        write_package("wind", tmp_path)
    assert (tmp_path / "mine.py").read_text() == "precious"
