"""Shared by all benchmarks: arguments, calibration, hardware, bars, tables, the JSON document.

Invariant: the last line printed is one JSON object {"bench", "command", "commit", "hardware", "versions",
"results", "bars"}; a benchmark with a missed bar exits with 0, a benchmark that cannot run raises.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "implementation" / "results"
PACKAGES = ("sage-runtime", "torch", "numpy")
CALIBRATION_ROUNDS = 5
InstructionSet = Literal["none", "AVX2", "AVX512", "AVX512-BF16", "AMX"]
INSTRUCTION_SETS: tuple[InstructionSet, ...] = get_args(InstructionSet)  # the fastest last
#: The flags of /proc/cpuinfo that an instruction set needs.
_FLAGS: dict[InstructionSet, set[str]] = {
    "AVX2": {"avx2"},
    "AVX512": {"avx512f"},
    "AVX512-BF16": {"avx512_bf16"},
    "AMX": {"amx_tile", "amx_bf16"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A promised figure.

    value: None where it was not measured or its hardware is absent; the bar is then owed.
    bar: None where nothing is promised for this instruction set.
    by_set: the bar of each instruction set, for a bar that depends on it (`bar_by_set`).
    """

    name: str
    value: float | None
    bar: float | None
    better: Literal["lower", "higher"]
    by_set: Mapping[InstructionSet, float] | None = None

    @property
    def is_met(self) -> bool | None:
        if self.value is None or self.bar is None:
            return None
        if not math.isfinite(self.value):
            return False
        return self.value <= self.bar if self.better == "lower" else self.value >= self.bar


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table of strings, printed and saved."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """`--quick` and `--save`; a benchmark adds its own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="a short run with the same JSON keys (50 seconds on two cores)"
    )
    parser.add_argument(
        "--save", action="store_true", help="save the result to implementation/results, as JSON and Markdown"
    )
    return parser


def seeds_of(text: str) -> tuple[int, ...]:
    """The `type` of an option: different whole numbers from 0 on, separated by commas. A seed that is given
    twice would count as two samples.
    """
    try:
        found = tuple(int(each) for each in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 0 or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(
            f"{text!r}: give different whole numbers separated by commas, such as 0,1,2"
        )
    return found


def calibrate() -> dict[str, float]:
    """The current speed of this machine: median CPU time of a 512 x 512 fp32 product and of an eager add, in
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
    """Processor, instruction set, cores, memory, GPU or None."""
    import psutil
    import torch

    return {
        "machine": platform.machine(),
        "processor": _processor_name(),
        "instruction_set": instruction_set(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def instruction_set() -> InstructionSet:
    """The fastest vector instructions that torch uses here: the processor's, at most those that
    ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA permit.
    """
    import torch

    return best_instruction_set(
        flags=(_cpuinfo("flags") or "").split(),
        capability=torch.backends.cpu.get_cpu_capability(),  # ATEN_CPU_CAPABILITY is applied
        onednn_limit=os.environ.get("ONEDNN_MAX_CPU_ISA", ""),
    )


def best_instruction_set(
    *, flags: Collection[str], capability: str, onednn_limit: str = ""
) -> InstructionSet:
    """flags: of the processor.  capability: of ATen ("DEFAULT", "AVX2", "AVX512").  onednn_limit: a value of
    ONEDNN_MAX_CPU_ISA; empty, ALL and DEFAULT are no limit.
    """
    permitted = min(
        _rank({"AVX2": "AVX2", "AVX512": "AMX"}.get(capability.upper(), "none")),
        _rank(_onednn_set(onednn_limit.upper())),
    )
    usable = [name for name in INSTRUCTION_SETS[1 : permitted + 1] if _FLAGS[name] <= set(flags)]
    return usable[-1] if usable else "none"


def _onednn_set(limit: str) -> str:
    """The set of a oneDNN name, e.g. AVX2_VNNI, AVX512_CORE, AVX512_CORE_BF16, AVX512_CORE_AMX."""
    if limit in ("", "ALL", "DEFAULT") or "AMX" in limit:
        return "AMX"
    if limit.startswith("AVX10") or limit.endswith(("_BF16", "_FP16")):
        return "AVX512-BF16"
    if limit.startswith("AVX512"):
        return "AVX512"
    return "AVX2" if limit.startswith("AVX2") else "none"


def _rank(name: str) -> int:
    return INSTRUCTION_SETS.index(name)


def bar_by_set(bars: Mapping[InstructionSet, float], current: InstructionSet) -> float | None:
    """The bar of the fastest set in `bars` that is not faster than `current`; None if all are faster."""
    usable = [name for name in bars if _rank(name) <= _rank(current)]
    return bars[max(usable, key=_rank)] if usable else None


def _processor_name() -> str:
    return _cpuinfo("model name") or platform.processor() or "unknown"


def _cpuinfo(field: str) -> str | None:
    """The field of the first processor in /proc/cpuinfo; None without one."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    match = re.search(rf"^{field}\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1) if match else None


def versions(peers: Sequence[str] = ()) -> dict[str, str | None]:
    """Of Python, PACKAGES and the peers; None for a peer that is not installed."""
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


def command(argv: Sequence[str]) -> str:
    """How to run this again. argv: as sys.argv. Without --save; of a file or folder its name alone."""
    script = Path(argv[0])
    is_ours = script.resolve().parent == ROOT / "implementation" / "bench"
    words = ["sage", "bench", script.stem] if is_ours else ["python", script.name]
    for word in argv[1:]:
        option, sign, value = word.rpartition("=")
        if word != "--save":
            words.append(f"{option}{sign}{Path(value).name}" if Path(value).is_absolute() else word)
    return shlex.join(words)


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def document(
    name: str, results: Mapping[str, Any], bars: Sequence[Bar], *, peers: Sequence[str] = ()
) -> dict[str, Any]:
    """Plain values only: a figure that is not finite becomes null."""
    whole = {
        "bench": name,
        "command": command(sys.argv),
        "commit": commit(),
        "hardware": hardware(),
        "versions": versions(peers),
        "results": dict(results),
        "bars": [_plain_bar(bar) for bar in bars],
    }
    plain: dict[str, Any] = to_json(whole)
    return plain


def _plain_bar(bar: Bar) -> dict[str, Any]:
    plain = {"name": bar.name, "value": bar.value, "bar": bar.bar, "better": bar.better, "met": bar.is_met}
    return plain if bar.by_set is None else plain | {"by_instruction_set": bar.by_set}


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

    def wanted(bar: Bar) -> str:
        here = "no bar here" if bar.bar is None else f"{sign[bar.better]} {bar.bar:g}"
        if bar.by_set is None:
            return here
        names = {name: "otherwise" if name == "none" else name for name in bar.by_set}
        return f"{here} ({', '.join(f'{names[name]} {least:g}' for name, least in bar.by_set.items())})"

    rows = tuple(
        (bar.name, number(bar.value), wanted(bar), "-" if bar.bar is None else words[bar.is_met])
        for bar in bars
    )
    title = f"Bars (instruction set: {instruction_set()})"
    return TextTable(title=title, columns=("bar", "value", "wanted", ""), rows=rows)


def number(value: float | None, digits: int = 3) -> str:
    """A signed number for a table; a dash for None."""
    return "-" if value is None or not math.isfinite(value) else f"{value:+.{digits}f}"


def finish(whole: Mapping[str, Any], tables: Sequence[TextTable], *, is_saved: bool, notes: str = "") -> None:
    """Print the tables, save them if `is_saved`, and print the document as the last line."""
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
        console.print(f"saved: {save(whole, tables, notes=notes)}", highlight=False)
    print(json.dumps(whole, allow_nan=False), flush=True)


def save(
    whole: Mapping[str, Any], tables: Sequence[TextTable], *, notes: str = "", folder: Path = RESULTS
) -> Path:
    """Write <name>_<hardware>_<date>.json and .md; returns the path of the JSON file."""
    today = datetime.now(timezone.utc).date().isoformat()
    stem = f"{whole['bench']}_{hardware_slug(whole['hardware'])}_{today}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n")
    path.with_suffix(".md").write_text(page(whole, tables, notes))
    return path


def hardware_slug(facts: Mapping[str, Any]) -> str:
    """A short name for a file: the GPU's name if there is one, else machine and cores."""
    words = facts["gpu"] or f"{facts['machine']} {facts['cores']}core"
    return re.sub(r"[^a-z0-9]+", "-", str(words).lower()).strip("-")


def page(whole: Mapping[str, Any], tables: Sequence[TextTable], notes: str) -> str:
    facts = whole["hardware"]
    machine = (
        f"{facts['processor']} ({facts['instruction_set']}), {facts['cores']} cores, GPU: {facts['gpu']}"
    )
    lines = [f"# {whole['bench']}", "", f"`{whole['command']}`", ""]
    lines += [f"Commit {whole['commit']}, {machine}."]
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
