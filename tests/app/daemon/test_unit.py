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
    path.write_text(unit_text(UnitSettings(config="default", scope=scope, user=user)))  # type: ignore[arg-type]
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
