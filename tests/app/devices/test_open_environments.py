"""`sage doctor` opens each kind of environment, and has the reason where one cannot be opened."""

from __future__ import annotations

import sys

import pytest

from sage.app.config.registry import plugins
from sage.app.devices.open_environments import examine_environments


def test_every_kind_is_examined_and_one_without_its_package_has_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)  # its import raises ImportError
    found = {each.topic.removeprefix("environment "): each for each in examine_environments()}
    assert set(found) == set(plugins("environments"))
    assert found["gymnasium"].found == "cannot be opened"
    assert "pip install 'sage-runtime[robot]'" in found["gymnasium"].why
    for kind in ("key_door", "puzzles"):
        assert found[kind].found == "ready", found[kind].why
