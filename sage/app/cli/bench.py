"""`sage bench`: a benchmark of the checkout, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

#: Everything after the name is passed to the benchmark.
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
#: Modules in implementation/bench that are not benchmarks.
_NOT_BENCHMARKS = {"__init__", "harness"}


def bench(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A benchmark; without a name they are listed.")
    ] = None,
) -> int:
    """Run a benchmark beside its peers: a table, then one JSON document as the last line.

    Arguments after NAME are passed to the benchmark.
    """
    benchmarks = find_benchmarks()
    if name in (None, "--help", "--json"):
        typer.echo(_listed(benchmarks, is_json=name == "--json"))
        return 0
    if name not in benchmarks:
        from sage.app.terminal.errors import UserError, nearest

        raise UserError(f"bench {name}: no such benchmark: {nearest(str(name), benchmarks)}")

    import subprocess
    import sys

    # The script's own folder becomes sys.path[0]: a benchmark imports the harness, never the checkout's root.
    return subprocess.run([sys.executable, str(benchmarks[name]), *context.args], check=False).returncode


def find_benchmarks() -> dict[str, Path]:
    """Name -> file. UserError in an installed package, which has none."""
    from sage.about import PACKAGE_DIR
    from sage.app.terminal.errors import UserError

    folder = PACKAGE_DIR.parent / "implementation" / "bench"
    if not folder.is_dir():
        raise UserError(
            "bench: an installed package has no benchmarks: run it from a checkout of the repository"
        )
    return {
        path.stem: path
        for path in sorted(folder.glob("*.py"))
        if path.stem not in _NOT_BENCHMARKS and path.stem[0] != "_"
    }


def describe_benchmark(path: Path) -> str:
    """The first sentence of the file's docstring, without its own name."""
    import ast

    lines = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    sentence = " ".join(lines.split()).partition(". ")[0].rstrip(".")
    return sentence.removeprefix(f"`sage bench {path.stem}`").lstrip(": ")


def _listed(benchmarks: dict[str, Path], *, is_json: bool) -> str:
    about = {name: describe_benchmark(path) for name, path in benchmarks.items()}
    if is_json:
        import json

        return json.dumps([{"name": name, "about": text} for name, text in about.items()])
    width = max(map(len, about), default=0)
    rows = [f"  {name:<{width}}  {text}" for name, text in about.items()]
    usage = "Usage: sage bench NAME [--quick] [--save] [arguments of the benchmark]"
    return "\n".join([usage, "", "Benchmarks:", *rows])
