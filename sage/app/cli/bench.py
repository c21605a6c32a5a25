"""`sage bench`: a benchmark of the checkout, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

#: Everything after the name belongs to the benchmark.
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
#: Modules in implementation/bench that are no benchmark themselves.
_NOT_BENCHMARKS = {"__init__", "harness"}


def bench(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Which one; without a name they are listed.")
    ] = None,
) -> int:
    """Run a benchmark beside its peers. A table, and one JSON document as the last line; what follows NAME is
    its own.
    """
    if name in (None, "--help"):
        typer.echo("Usage: sage bench NAME [--quick] [--save] [arguments of the benchmark]\n")
    benchmarks = find_benchmarks()
    if name in (None, "--help"):
        typer.echo("\n".join(["Benchmarks:", *(f"  {each}" for each in benchmarks)]))
        return 0
    if name not in benchmarks:
        from sage.app.terminal.errors import UserError, nearest

        raise UserError(f"bench {name}: no such benchmark: {nearest(str(name), benchmarks)}")

    import subprocess
    import sys

    # A script's own folder is its sys.path[0], so that a benchmark finds the harness, and never the
    # checkout's root.
    return subprocess.run([sys.executable, str(benchmarks[name]), *context.args], check=False).returncode


def find_benchmarks() -> dict[str, Path]:
    """Name -> file. They stay in the checkout: a wheel has none, and says so."""
    from sage.about import PACKAGE_DIR
    from sage.app.terminal.errors import UserError

    folder = PACKAGE_DIR.parent / "implementation" / "bench"
    if not folder.is_dir():
        raise UserError(
            "bench: there are no benchmarks in an installed package: run it from a checkout with"
            " ./scripts/run made"
        )
    return {
        path.stem: path
        for path in sorted(folder.glob("*.py"))
        if path.stem not in _NOT_BENCHMARKS and path.stem[0] != "_"
    }
