"""The pytest plugin `sage`: the conformance kits as tests of a package, one a check.

    @pytest.mark.sage_sensor(kind=WindSensor, height=2.0)
    def test_conformance(sage_check):
        sage_check()

Invariant: it is loaded by every pytest of an environment that has SAGE, and imports nothing until a test uses
one of its fixtures or marks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sage.mailbox.clock import ManualClock
    from sage.sensors.contract import SensorContext
    from sage.sensors.testing.suites import Group, Subject

_MARKS: dict[str, Group] = {
    "sage_sensor": "sensors",
    "sage_effector": "effectors",
    "sage_environment": "environments",
}


def pytest_configure(config: pytest.Config) -> None:
    for mark in _MARKS:
        config.addinivalue_line(
            "markers",
            f"{mark}(kind=, **keys): one test for each check of the kit, by the fixture sage_check. kind: a"
            " plug-in's class, the name of an installed kind, or a function from a SensorContext to a device;"
            " keys: of its configuration",
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "sage_check" not in metafunc.fixturenames:
        return
    subjects = _subjects(metafunc)
    cases = [(subject, check) for subject in subjects for check in subject.checks]
    ids = [check if len(subjects) == 1 else f"{subject.name}-{check}" for subject, check in cases]
    metafunc.parametrize("sage_check", cases, ids=ids, indirect=True)


def _subjects(metafunc: pytest.Metafunc) -> list[Subject]:
    """One for each mark of a test, the one nearest to it first."""
    from sage.sensors.testing.suites import Subject

    found = []
    for name, group in _MARKS.items():
        for mark in metafunc.definition.iter_markers(name):
            keys = dict(mark.kwargs)
            kind = keys.pop("kind", None)
            if kind is None or mark.args:
                raise pytest.UsageError(
                    f"{metafunc.definition.nodeid}: {name} has no kind, or arguments without a name: give"
                    f" {name}(kind=..., key=value)"
                )
            found.append(Subject(group, kind, keys))
    if not found:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid}: it uses sage_check: mark it with"
            " @pytest.mark.sage_sensor(kind=...), sage_effector or sage_environment"
        )
    return found


@pytest.fixture
def sage_check(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Runs one check of the kit; it fails with what to mend, and skips where the device is missing."""
    subject, name = request.param

    def check() -> None:
        from sage.sensors.contract import SensorUnavailable

        __tracebackhide__ = True
        try:
            result = subject.check(name, tmp_path)
        except SensorUnavailable as error:
            pytest.skip(str(error))
        if not result.is_ok:
            pytest.fail(f"{subject.name}: {name}: {result.detail}", pytrace=False)

    return check


@pytest.fixture
def sage_clock() -> ManualClock:
    """A manual clock that starts at 0: `advance(ns)` moves it."""
    from sage.mailbox.clock import ManualClock

    return ManualClock()


@pytest.fixture
def sage_context(sage_clock: ManualClock, tmp_path: Path) -> SensorContext:
    """A context on `sage_clock`, with relative paths in the test's own folder."""
    from sage.sensors.contract import SensorContext

    return SensorContext(clock=sage_clock, epoch_ns=sage_clock.now_ns(), base_dir=tmp_path)
