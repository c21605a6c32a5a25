"""A new package of an environment is importable and passes the kit as it is."""

import importlib
import sys
from pathlib import Path

import pytest

from sage.errors import InputError
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext
from sage.sensors.testing.environment_conformance import check_environment
from sage.sensors.testing.environment_scaffold import write_environment_package


def test_a_new_package_conforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: SensorContext, clock: ManualClock
) -> None:
    written = write_environment_package("small_pond", tmp_path / "pond")
    assert sorted(path.relative_to(tmp_path / "pond").as_posix() for path in written) == [
        "README.md",
        "pyproject.toml",
        "sage_environment_small_pond.py",
        "tests/test_small_pond.py",
    ]
    monkeypatch.syspath_prepend(tmp_path / "pond")
    module = importlib.import_module("sage_environment_small_pond")
    monkeypatch.delitem(sys.modules, "sage_environment_small_pond")
    config = module.SmallPondConfig()
    results = check_environment(lambda: module.SmallPondEnvironment(config, context), clock=clock)
    assert not [f"{result.name}: {result.detail}" for result in results if not result.is_ok]
    entry = '[project.entry-points."sage.environments"]\nsmall_pond = '
    assert f'{entry}"sage_environment_small_pond:SmallPondEnvironment"' in written[0].read_text()


def test_a_name_that_is_no_kind_and_a_folder_in_use_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give lower-case letters"):
        write_environment_package("9lives", tmp_path / "new")
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(FileExistsError, match="not empty"):
        write_environment_package("pond", tmp_path)
