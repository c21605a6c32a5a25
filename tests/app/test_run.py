"""`sage run` as a person meets it: what it says, and where it says it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage.app.cli import invoke
from sage.app.state_dir import STORE_NAME
from sage.app.store import MetricsStore


def test_an_optional_sensor_that_is_not_there_is_said_in_the_session_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        "sensors:\n  - {kind: clock}\n"
        f"  - {{kind: host, name: heat, read: [temperature], sysfs_root: {tmp_path}, optional: true, enabled: true}}\n"
    )
    assert invoke(["run", str(config), "--ticks", "3", "--no-live", "--json", "--state-dir", str(tmp_path / "state")]) == 0
    assert json.loads(capsys.readouterr().out)["num_events"]["left out"] == 1
    with MetricsStore(tmp_path / "state" / STORE_NAME, must_exist=True) as store:
        (event,) = [event for event in store.events(store.session().id) if event.kind == "left out"]
    assert event.source == "heat"
    assert "tells no temperature" in event.message
