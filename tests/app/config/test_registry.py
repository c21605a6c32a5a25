"""Names of kinds lead to classes, imported when asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sage.app.config import registry
from sage.app.config.registry import plugins, resolve
from sage.app.devices.kinds import describe_kinds
from sage.app.terminal.errors import UserError
from sage.errors import Terminated
from sage.hrm_core.tasks import catalogue


@pytest.mark.parametrize("kind", ["audio", "clock", "host", "memory", "synthetic", "table", "video"])
def test_a_built_in_sensor_resolves_to_its_class(kind: str) -> None:
    found = resolve("sensors", kind)
    assert found.Config.model_fields["kind"].default == kind
    assert plugins("sensors")[kind].origin == "built in"


def test_the_recording_effector_resolves() -> None:
    assert resolve("effectors", "recording").__name__ == "RecordingEffector"


def test_a_built_in_task_resolves_to_its_kind() -> None:
    assert resolve("tasks", "hanoi").name == "hanoi"
    assert plugins("tasks")["hanoi"].origin == "built in"
    assert set(plugins("tasks")) >= {
        "arc",
        "brackets",
        "colouring",
        "folder",
        "maze",
        "patterns",
        "sat",
        "sudoku",
        "text",
    }


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"vidoe: unknown kind of sensor: did you mean video\?"):
        resolve("sensors", "vidoe")


def test_looking_up_names_imports_no_sensor() -> None:
    code = (
        "import sys; from sage.app.config.registry import plugins; plugins('sensors');"
        " sys.exit('sage.sensors' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def installed_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution on the path, as pip would leave it."""
    info = tmp_path / "sage_sensor_wind-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sage-sensor-wind\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[sage.sensors]\nwind = wind_sensor:Wind\nhost = wind_sensor:Wind\nlost = no_such_module:X\n"
        "bare = wind_sensor:make\nplain = wind_sensor:Plain\nleaves = leaving_sensor:X\n"
        "[sage.tasks]\ngusts = wind_sensor:GUSTS\nsudoku = wind_sensor:GUSTS\n"
    )
    (tmp_path / "wind_sensor.py").write_text(
        "from sage.sensors import EffectorConfig, SensorConfig\nclass Wind: Config = SensorConfig\n"
        "print('SDK 3.1 ready')\n"
        "class Plain: Config = EffectorConfig\ndef make(config, context): pass\nGUSTS = 'a kind of task'\n"
    )
    (tmp_path / "leaving_sensor.py").write_text("import sys\nsys.exit('usage: wind PORT')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for each in (plugins, catalogue.targets):
        each.cache_clear()
    yield
    for each in (plugins, catalogue.targets):
        each.cache_clear()


@pytest.mark.usefixtures("installed_plugin")
def test_an_installed_kind_is_found_by_its_entry_point(capsys: pytest.CaptureFixture[str]) -> None:
    sys.modules.pop("wind_sensor", None)
    assert resolve("sensors", "wind").__name__ == "Wind"
    assert capsys.readouterr() == ("", "SDK 3.1 ready\n")
    assert plugins("sensors")["wind"].origin == "sage-sensor-wind"


@pytest.mark.usefixtures("installed_plugin")
def test_an_installed_task_is_found_and_takes_over_no_built_in_one() -> None:
    assert (plugins("tasks")["gusts"].origin, plugins("tasks")["sudoku"].origin) == (
        "sage-sensor-wind",
        "built in",
    )
    assert resolve("tasks", "gusts") == "a kind of task"
    assert resolve("tasks", "sudoku").name == "sudoku"


@pytest.mark.usefixtures("installed_plugin")
def test_a_built_in_kind_is_not_taken_over() -> None:
    assert resolve("sensors", "host").__name__ == "HostSensor"


@pytest.mark.usefixtures("installed_plugin")
def test_a_kind_that_cannot_be_imported_says_why_and_from_where() -> None:
    with pytest.raises(UserError, match=r"lost: no_such_module:X \(sage-sensor-wind\) cannot be imported"):
        resolve("sensors", "lost")


@pytest.mark.usefixtures("installed_plugin")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("bare", r"wind_sensor:make \(sage-sensor-wind\) has no Config that is a SensorConfig: correct the"),
        ("plain", "has no Config that is a SensorConfig"),
        ("leaves", "raises SystemExit when it is imported: usage: wind PORT: correct the plug-in"),
    ],
)
def test_a_plug_in_that_is_no_device_is_one_line_and_is_listed_with_it(kind: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"{kind}: .*{reason}"):
        resolve("sensors", kind)
    listed = {each.kind: each for each in describe_kinds("sensors")}
    assert not listed[kind].is_usable
    assert re.search(reason, listed[kind].about)
    assert listed["wind"].is_usable


def test_sigterm_while_a_plug_in_is_imported_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def terminated(_: str) -> None:
        raise Terminated(143)

    monkeypatch.setattr(registry, "import_module", terminated)
    with pytest.raises(Terminated):
        resolve("sensors", "host")
