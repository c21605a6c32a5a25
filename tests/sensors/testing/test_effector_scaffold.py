"""A new package of an effector is importable and passes the kit as it is."""

import importlib
import sys
from pathlib import Path

import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext
from sage.sensors.testing.effector_conformance import check_effector
from sage.sensors.testing.effector_scaffold import write_effector_package


def test_a_new_package_conforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: SensorContext, clock: ManualClock
) -> None:
    written = write_effector_package("small_hand", tmp_path / "hand")
    monkeypatch.syspath_prepend(tmp_path / "hand")
    module = importlib.import_module("sage_effector_small_hand")
    monkeypatch.delitem(sys.modules, "sage_effector_small_hand")
    config = module.SmallHandConfig(timeout_secs=10.0)
    results = check_effector(lambda: module.SmallHandEffector(config, context), clock=clock)
    assert not [f"{result.name}: {result.detail}" for result in results if not result.is_ok]
    entry = '[project.entry-points."sage.effectors"]\nsmall_hand = '
    assert f'{entry}"sage_effector_small_hand:SmallHandEffector"' in written[0].read_text()
