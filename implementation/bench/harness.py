"""What every benchmark shares: arguments, calibration, the machine's facts, tables, and the one JSON
document.

Invariant: the last line printed is one JSON object {"bench", "commit", "hardware", "versions", "results",
"bars"}; a bar that was missed is a result and ends with 0, a benchmark that cannot run raises.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "implementation" / "results"
PACKAGES = ("sage-runtime", "torch", "numpy")
CALIBRATION_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What was promised. value: None where the hardware it names is absent: then the bar is owed, neither met
    nor missed.
    """

    name: str
    value: float | None
    bar: float
    better: Literal["lower", "higher"]

    @property
    def is_met(self) -> bool | None:
        if self.value is None:
            return None
        if not math.isfinite(self.value):
            return False
        return self.value <= self.bar if self.better == "lower" else self.value >= self.bar


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table as strings, printed and kept."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """`--quick` and `--save`; a benchmark adds its own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="end within 50 seconds on two cores, with the same keys"
    )
    parser.add_argument(
        "--save", action="store_true", help="keep the result in implementation/results, as JSON and as a page"
    )
    return parser


def calibrate() -> dict[str, float]:
    """How fast this machine is just now: median CPU time of a 512 x 512 fp32 product and of an eager add, in
    microseconds.
    """
    import torch

    left, right = torch.ones(512, 512), torch.ones(512, 512)
    small = torch.ones(16)
    return {
        "matmul_512_cpu_us": _median_cpu_us(lambda: torch.mm(left, right), calls=4),
        "eager_add_cpu_us": _median_cpu_us(lambda: torch.add(small, small), calls=1000),
    }


def _median_cpu_us(work: Callable[[], object], *, calls: int) -> float:
    work()
    rounds = []
    for _ in range(CALIBRATION_ROUNDS):
        started = time.process_time()
        for _ in range(calls):
            work()
        rounds.append((time.process_time() - started) / calls * 1e6)
    return statistics.median(rounds)


def hardware() -> dict[str, Any]:
    """The machine in words: processor, cores, memory, GPU or None."""
    import psutil
    import torch

    return {
        "machine": platform.machine(),
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def _processor_name() -> str:
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return match.group(1) if match else platform.processor() or "unknown"


def versions(peers: Sequence[str] = ()) -> dict[str, str | None]:
    """Of Python, of what we stand on, and of the peers; None for a peer that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    return found | {package: _version(package) for package in (*PACKAGES, *peers)}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str:
    """The checkout's commit, with "+" where its files differ from it; "unknown" outside git."""
    try:
        revision = _git("rev-parse", "--short=12", "HEAD")
        return revision + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def document(
    name: str, results: Mapping[str, Any], bars: Sequence[Bar], *, peers: Sequence[str] = ()
) -> dict[str, Any]:
    """Plain values only: what is not finite becomes null."""
    rows = [
        {"name": bar.name, "value": bar.value, "bar": bar.bar, "better": bar.better, "met": bar.is_met}
        for bar in bars
    ]
    whole = {
        "bench": name,
        "commit": commit(),
        "hardware": hardware(),
        "versions": versions(peers),
        "results": dict(results),
        "bars": rows,
    }
    plain: dict[str, Any] = to_json(whole)
    return plain


def to_json(value: Any) -> Any:
    """Numpy scalars and arrays to Python's own; NaN and infinities to None."""
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return to_json(value.tolist())
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def bars_table(bars: Sequence[Bar]) -> TextTable:
    words = {True: "met", False: "missed", None: "owed"}
    sign = {"lower": "<=", "higher": ">="}
    rows = tuple(
        (bar.name, number(bar.value), f"{sign[bar.better]} {bar.bar:g}", words[bar.is_met]) for bar in bars
    )
    return TextTable(title="Bars", columns=("bar", "value", "wanted", ""), rows=rows)


def number(value: float | None, digits: int = 3) -> str:
    """A signed number for a table; a dash where there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:+.{digits}f}"


def finish(whole: Mapping[str, Any], tables: Sequence[TextTable], *, is_saved: bool, notes: str = "") -> None:
    """Print the tables, keep them where asked, and print the document as the last line."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=160)
    for each in tables:
        shown = Table(title=each.title, title_justify="left")
        for index, column in enumerate(each.columns):
            shown.add_column(column, justify="left" if index == 0 else "right")
        for row in each.rows:
            shown.add_row(*row)
        console.print(shown)
    if is_saved:
        console.print(f"kept: {save(whole, tables, notes=notes)}", highlight=False)
    print(json.dumps(whole, allow_nan=False), flush=True)


def save(
    whole: Mapping[str, Any], tables: Sequence[TextTable], *, notes: str = "", folder: Path = RESULTS
) -> Path:
    """<name>_<hardware>_<date>.json and the page beside it; returns the JSON file's path."""
    today = datetime.now(timezone.utc).date().isoformat()
    stem = f"{whole['bench']}_{hardware_slug(whole['hardware'])}_{today}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n")
    path.with_suffix(".md").write_text(page(whole, tables, notes))
    return path


def hardware_slug(facts: Mapping[str, Any]) -> str:
    """A short name for a file: the GPU's where there is one, else machine and cores."""
    words = facts["gpu"] or f"{facts['machine']} {facts['cores']}core"
    return re.sub(r"[^a-z0-9]+", "-", str(words).lower()).strip("-")


def page(whole: Mapping[str, Any], tables: Sequence[TextTable], notes: str) -> str:
    facts = whole["hardware"]
    machine = f"{facts['processor']}, {facts['cores']} cores, GPU: {facts['gpu']}"
    lines = [f"# {whole['bench']}", "", f"Commit {whole['commit']}, {machine}."]
    lines += ["", notes.strip()] if notes.strip() else []
    for each in tables:
        lines += [
            "",
            f"## {each.title}",
            "",
            _markdown_row(each.columns),
            _markdown_row(["---"] * len(each.columns)),
        ]
        lines += [_markdown_row(row) for row in each.rows]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
