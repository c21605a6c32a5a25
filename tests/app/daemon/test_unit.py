"""The systemd unit: accepted by systemd, escaped, written once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sage.app.cli.main import invoke
from sage.app.daemon.unit import UnitSettings, install_unit, unit_path, unit_text
from sage.app.terminal.errors import UserError


@pytest.mark.parametrize("scope", ["user", "system"])
def test_systemd_accepts_the_unit(scope: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "sage.service"
    user = "root" if scope == "system" else ""
    settings = UnitSettings(
        config="default", scope=scope, user=user, state_dir="/tmp/a disk", record_dir="/tmp/a film"
    )  # type: ignore[arg-type]
    path.write_text(unit_text(settings))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_the_unit_is_of_a_service_that_notifies_and_is_watched() -> None:
    text = unit_text(UnitSettings(config="default", scope="system", user="sage", drain_secs=20.0))
    for line in (
        "Type=notify",
        "WatchdogSec=30",
        "Restart=on-failure",
        "StateDirectory=sage",
        "TimeoutStopSec=35",
        "User=sage",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ):
        assert line in text.splitlines()


def test_a_service_has_the_page_unless_it_is_not_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["daemon", "unit"]) == 0
    assert " --page --port 8642 --host 127.0.0.1\n" in capsys.readouterr().out
    assert invoke(["daemon", "unit", "--port", "9000", "--host", "::", "--allow-host", "robot.local"]) == 0
    assert " --page --port 9000 --host :: --allow-host robot.local\n" in capsys.readouterr().out
    assert invoke(["daemon", "unit", "--no-page"]) == 0
    assert "--page" not in capsys.readouterr().out


def test_a_service_records_where_it_may_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--record", str(tmp_path / "run.mcap"), "--record-max-bytes", "1000000000"]
    assert invoke(["daemon", "unit", "--system", "--account", "sage", *place, "--record-jpeg"]) == 0
    text = capsys.readouterr().out
    assert f" --record {tmp_path}/run.mcap --record-max-bytes 1000000000 --record-jpeg\n" in text
    assert f'\nReadWritePaths="-{tmp_path}"\n' in text
    assert invoke(["daemon", "unit", "--record", "run.txt"]) == 2
    assert "give a name that ends in .mcap" in capsys.readouterr().err


def test_a_service_serves_viewers_on_its_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["daemon", "unit", "--foxglove", "8765", "--rerun", "9876"]) == 0
    assert " --foxglove 8765 --rerun 9876\n" in capsys.readouterr().out


def test_a_session_is_started_again_however_it_failed() -> None:
    """Exit code 2 is also that of a device that is not plugged in yet, and of a full disk."""
    lines = unit_text(UnitSettings(config="default", scope="user")).splitlines()
    assert "StartLimitIntervalSec=0" in lines
    assert not any("RestartPrevent" in line or "StartLimitBurst" in line for line in lines)


def test_the_state_directory_of_the_configuration_is_the_services(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"state_dir={tmp_path}/a disk"
    assert invoke(["daemon", "unit", "--set", place]) == 0
    assert f'--state-dir "{tmp_path}/a disk"' in capsys.readouterr().out
    assert invoke(["daemon", "unit", "--system", "--account", "sage", "--set", place]) == 0
    text = capsys.readouterr().out
    assert f'--state-dir "{tmp_path}/a disk"' in text
    assert f'\nRequiresMountsFor="{tmp_path}/a disk"\n' in text.partition("[Service]")[0]
    assert f'\nReadWritePaths="{tmp_path}/a disk"\n' in text  # the rest of the disk is read-only
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # where `sage status` looks
    assert invoke(["daemon", "unit"]) == 0
    assert f"--state-dir {tmp_path}/sage" in capsys.readouterr().out
    monkeypatch.delenv("XDG_STATE_HOME")
    assert invoke(["daemon", "unit"]) == 0
    assert "--state-dir %h/.local/state/sage" in capsys.readouterr().out


def test_a_system_unit_has_a_folder_for_compiled_kernels() -> None:
    lines = unit_text(UnitSettings(config="default", scope="system")).splitlines()
    assert {"CacheDirectory=sage", "Environment=XDG_CACHE_HOME=%C"} <= set(lines)


def test_under_sudo_a_system_unit_runs_as_the_person(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "ada")
    assert invoke(["daemon", "unit", "--system"]) == 0
    assert "\nUser=ada\n" in capsys.readouterr().out
    monkeypatch.delenv("SUDO_USER")

    def no_name() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", no_name)
    assert invoke(["daemon", "unit", "--system"]) == 2
    assert "give --account NAME" in capsys.readouterr().err


def test_words_are_escaped_for_a_unit() -> None:
    settings = UnitSettings(config="/my runs/50%.yaml", scope="user", arguments=("--set", "name=$a"))
    (line,) = [each for each in unit_text(settings).splitlines() if each.startswith("ExecStart=")]
    assert '"/my runs/50%%.yaml"' in line
    assert "name=$$a" in line
    with pytest.raises(UserError, match="line break"):
        unit_text(UnitSettings(config="a\nb", scope="user"))


def test_a_unit_is_written_once_and_replaced_only_if_asked(tmp_path: Path) -> None:
    path = unit_path("user", tmp_path)
    assert install_unit(path, "one", replaces=False)
    assert not install_unit(path, "one", replaces=False)
    with pytest.raises(UserError, match="another unit is there: give --force"):
        install_unit(path, "two", replaces=False)
    assert install_unit(path, "two", replaces=True)
    assert path.read_text() == "two"


def test_a_configuration_that_is_not_valid_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["daemon", "unit", "--set", "tick.rate_hz=-1"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert invoke(["daemon", "unit"]) == 0
    assert capsys.readouterr().out.startswith("[Unit]\n")
