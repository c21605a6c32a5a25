"""The package in examples/wind_sensor: pip installs it, its own tests pass, and the loop runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.app.config.registry import plugins, resolve
from sage.app.config.sage_config import load_config
from sage.app.session.build import build_run
from sage.mailbox.clock import ManualClock
from sage.runtime.report import TickReport

PACKAGE = Path(__file__).parents[2] / "examples" / "wind_sensor"
#: A loop whose ticks take little time.
SMALL = (
    "model.hidden_size=16",
    "model.num_heads=2",
    "model.H_cycles=1",
    "model.L_cycles=1",
    "budget.segments=1",
    "practice.enabled=false",
    "tick.rate_hz=4",
    "tick.rest_rate_hz=4",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("source") / "wind"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    return folder


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed the package into."""
    pytest.importorskip("setuptools", minversion="77", reason="pip install 'sage-runtime[dev]'")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--no-index", "--target", str(target), str(source)],
        cwd=target,
        check=True,
        capture_output=True,
        timeout=240,
    )
    return target


def test_its_own_tests_pass(source: Path, installed: Path) -> None:
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p"]
    done = subprocess.run(
        [*command, "sage.sensors.testing.plugin"],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


def test_the_loop_runs_it(
    source: Path, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed)
    monkeypatch.chdir(source)
    plugins.cache_clear()
    try:
        assert plugins("sensors")["wind"].origin == "sage-wind"
        assert resolve("sensors", "wind").__module__ == "sage_wind"
        config = load_config("wind.yaml", SMALL)
        run = build_run(config, ManualClock(), directory=tmp_path / "sleep")
        reports: list[TickReport] = []
        events: list[Any] = []

        class Watch:
            def on_tick(self, report: TickReport) -> None:
                reports.append(report)

            def on_sleep(self, report: object) -> None: ...

            def on_event(self, event: Any) -> None:
                events.append((event.kind, event.source, event.message))

        try:
            run.open()
            run.loop.observe(Watch())
            run.loop.run(num_ticks=100)
        finally:
            run.close()
    finally:
        plugins.cache_clear()
        sys.modules.pop("sage_wind", None)
    wind = next(source for source in reports[-1].facts.sources if source.name == "wind")
    assert wind.status == "running"
    assert wind.num_faults == 0
    num_fresh = sum(each.is_fresh for report in reports for each in report.facts.sources[:1])
    assert 40 < num_fresh <= 51
    assert np.isfinite(wind.trust)
    healths = [message for kind, name, message in events if kind == "health" and name == "wind"]
    assert healths[0].startswith("1 of the last 20 sentences are invalid (quality 0.9")
    assert healths[-1] == "without fault again"
