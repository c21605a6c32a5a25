"""What a reload takes from a changed configuration, and what it refuses by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sage.app.cli.main import invoke
from sage.app.config.sage_config import SageConfig
from sage.app.daemon.reload import reloaded

BEFORE = SageConfig.model_validate({"name": "one", "tick": {"rate_hz": 20}, "sleep": {"every_secs": 600}})


def test_settings_that_may_change_are_taken_and_the_others_named() -> None:
    after = SageConfig.model_validate(
        {
            "name": "two",
            "tick": {"rate_hz": 10},
            "sleep": {"every_secs": 300, "where": "inline"},
            "model": {"hidden_size": 32},
        }
    )
    outcome = reloaded(BEFORE, after)
    assert outcome.changed == {"tick.rate_hz": 10.0, "sleep.every_secs": 300.0}
    assert outcome.refused == ("model.hidden_size", "name", "sleep.where")
    assert outcome.config.tick.rate_hz == 10
    assert outcome.config.sleep.every_secs == 300
    assert outcome.config.sleep.where == BEFORE.sleep.where
    assert outcome.config.name == "one"


def test_an_equal_configuration_changes_nothing() -> None:
    outcome = reloaded(BEFORE, BEFORE)
    assert (outcome.changed, outcome.refused, outcome.config) == ({}, (), BEFORE)


def test_a_device_that_is_unplugged_meanwhile_does_not_refuse_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, path = tmp_path / "camera", tmp_path / "run.yaml"
    device.touch()
    path.write_text(f"sensors: [{{kind: video, device: {device}, consent: true}}]\n")
    found: list[Callable[[], SageConfig]] = []

    def session(config: SageConfig, *, reread: Callable[[], SageConfig], **_: object) -> int:
        found.append(reread)
        return 0

    monkeypatch.setattr("sage.app.session.run.run_session", session)
    assert invoke(["run", str(path), "--state-dir", str(tmp_path / "state")]) == 0
    device.unlink()
    assert found[0]().name == "sage"
