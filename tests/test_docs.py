"""What the documents say is compared with the code, so that neither moves alone."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sage.app.config.registry import plugins, resolve
from sage.app.config.sage_config import SageConfig
from sage.mailbox.clock import ManualClock
from sage.runtime.measurements_config import MeasuredSource, MeasurementConfig
from sage.sensors.config import DeviceConfig, EffectorConfig, SensorConfig
from sage.sensors.contract import SensorContext
from sage.sensors.testing.conformance import check_sensor

_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key with its dotted path; what is a section is gone into."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from keys_of(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


def told(info: FieldInfo) -> str:
    """A default as the tables write it."""
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True)
    plain = {None: "null", True: "true", False: "false"}
    return plain[default] if default is None or isinstance(default, bool) else str(default)


def tables(repository: Path) -> list[dict[str, str]]:
    """Key -> default, for each table of the page."""
    found: list[dict[str, str]] = []
    for line in (repository / "docs/configuration.md").read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if line.startswith("| key |"):
            found.append({})
        elif line.startswith("| `") and found:
            found[-1][cells[0]] = cells[1]
    return found


def kinds() -> dict[str, Any]:
    """Built-in kinds only: a test must not depend on what else is installed."""
    found = {}
    for group in ("sensors", "effectors"):
        for kind, plugin in plugins(group).items():
            if plugin.origin == "built in":
                found[kind] = resolve(group, kind).Config
    return found


def test_every_key_of_a_run_is_documented_with_its_default(repository: Path) -> None:
    assert tables(repository)[0] == {key: told(info) for key, info in keys_of(SageConfig)}


def test_every_key_that_all_sensors_share_is_documented(repository: Path) -> None:
    shared = {key: told(info) for key, info in keys_of(SensorConfig) if key not in DeviceConfig.model_fields}
    assert tables(repository)[1] == shared


def test_every_key_of_a_kind_is_documented(repository: Path) -> None:
    expected = {
        f"{kind}.{key}": told(info)
        for kind, config in kinds().items()
        for key, info in config.model_fields.items()
        if not is_shared(key, info, EffectorConfig if issubclass(config, EffectorConfig) else SensorConfig)
    }
    assert tables(repository)[3] == expected


def test_every_key_of_a_group_of_measurements_is_documented(repository: Path) -> None:
    expected = {key: told(info) for key, info in MeasurementConfig.model_fields.items()}
    expected |= {f"sources.{key}": told(info) for key, info in MeasuredSource.model_fields.items()}
    assert tables(repository)[4] == expected


def is_shared(key: str, info: FieldInfo, base: type[BaseModel]) -> bool:
    """Whether a kind has the key as all kinds have it; `effect` may have a default of the kind's own."""
    if key in DeviceConfig.model_fields:
        return True
    return key in base.model_fields and told(info) == told(base.model_fields[key])


def test_every_key_that_all_effectors_share_is_documented(repository: Path) -> None:
    shared = {
        key: told(info) for key, info in keys_of(EffectorConfig) if key not in DeviceConfig.model_fields
    }
    assert tables(repository)[2] == shared


def test_the_sensor_of_the_docs_passes_the_conformance_kit(repository: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", (repository / "docs/sensors.md").read_text(), re.DOTALL)
    assert len(code) == 2
    module = types.ModuleType("documented")
    exec(compile(code[0], "docs/sensors.md", "exec", dont_inherit=True), module.__dict__)
    clock = ManualClock()
    context = SensorContext(clock=clock, epoch_ns=clock.now_ns())
    for result in check_sensor(lambda: module.LoadSensor(module.LoadConfig(), context), clock=clock):
        assert result.is_ok, f"{result.name}: {result.detail}"


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/*.md",
        "implementation/*.md",
        "sage/*/README.md",
        "SAGE_WHITEPAPER.md",
    ],
)
def test_links_lead_somewhere(page: str, repository: Path) -> None:
    pages = list(repository.glob(page))
    assert pages
    broken = [
        (path.name, link)
        for path in pages
        for link in _LINK.findall(path.read_text())
        if not (path.parent / link).exists()
    ]
    assert not broken


def test_the_mailboxes_of_the_docs_do_what_they_say(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (repository / "docs" / "mailboxes.md").read_text()
    in_process = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    exec(compile(in_process, "docs/mailboxes.md", "exec"), {})
    assert capsys.readouterr().out.split() == ["0", "10"]
